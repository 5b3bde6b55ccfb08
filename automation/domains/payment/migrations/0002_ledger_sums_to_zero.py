"""On PostgreSQL, no transaction commits in which the lines of a ledger entry do not sum to zero, or in which what was
entered has been changed. Elsewhere `automation.domains.payment.ledger.post`, the only writer, sees to it."""

from django.db import migrations

CREATE = """
CREATE FUNCTION payment_ledger_entry_sums_to_zero() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    total numeric;
BEGIN
    SELECT COALESCE(SUM(amount), 0) INTO total FROM payment_ledgerline WHERE entry_id = NEW.entry_id;
    IF total <> 0 THEN
        RAISE EXCEPTION 'the lines of ledger entry % sum to %, not to zero', NEW.entry_id, total
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_entry_sums_to_zero';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER ledger_entry_sums_to_zero AFTER INSERT ON payment_ledgerline
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION payment_ledger_entry_sums_to_zero();

CREATE FUNCTION payment_ledger_line_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger line % cannot be changed: enter what corrects it', OLD.id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_line_stays';
END $$;

CREATE TRIGGER ledger_line_stays BEFORE UPDATE OR DELETE ON payment_ledgerline
    FOR EACH ROW EXECUTE FUNCTION payment_ledger_line_stays();
"""

DROP = """
DROP TRIGGER ledger_line_stays ON payment_ledgerline;
DROP FUNCTION payment_ledger_line_stays();
DROP TRIGGER ledger_entry_sums_to_zero ON payment_ledgerline;
DROP FUNCTION payment_ledger_entry_sums_to_zero();
"""


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(CREATE, params=None)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(DROP, params=None)


class Migration(migrations.Migration):
    dependencies = [("payment", "0001_initial")]
    operations = [migrations.RunPython(create, drop, elidable=False)]
