"""Money, for operators: what happened is read, and what people agreed on can be entered."""

from __future__ import annotations

from django.contrib import admin

from automation.domains.payment import models


class Editable(admin.ModelAdmin):  # type: ignore[type-arg]  # Django's class takes no parameters at run time
    show_full_result_count = False
    list_per_page = 50


class History(Editable):
    """Rows that workflows write: a correction is another row."""

    def has_add_permission(self, request: object, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: object, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: object, obj: object = None) -> bool:
        return False


class Lines(admin.TabularInline):  # type: ignore[type-arg]
    model = models.LedgerLine
    extra = 0
    can_delete = False
    fields = ("account", "amount")
    readonly_fields = fields

    def has_add_permission(self, request: object, obj: object = None) -> bool:
        return False


@admin.register(models.Payment)
class PaymentAdmin(Editable):
    """A payment that has begun is history."""

    list_display = ("id", "practitioner", "kind", "payer_email", "amount", "currency", "status", "created_at")
    list_select_related = ("practitioner",)
    list_filter = ("status", "kind", "currency")
    search_fields = ("key", "payer_email", "practitioner__email", "description")
    date_hierarchy = "created_at"
    raw_id_fields = ("practitioner", "booking")
    readonly_fields = ("status",)

    def has_change_permission(self, request: object, obj: models.Payment | None = None) -> bool:
        return obj is None or not obj.transactions.exists()

    def has_delete_permission(self, request: object, obj: models.Payment | None = None) -> bool:
        return False


@admin.register(models.Transaction)
class TransactionAdmin(History):
    list_display = ("id", "payment", "amount", "currency", "status", "decline_code", "provider_id", "created_at")
    list_filter = ("status", "currency")
    search_fields = ("provider_id", "idempotency_key", "payment__payer_email")
    date_hierarchy = "created_at"


@admin.register(models.Capture)
class CaptureAdmin(History):
    list_display = ("id", "transaction", "amount", "currency", "provider_id", "captured_at")
    search_fields = ("provider_id", "idempotency_key")
    date_hierarchy = "created_at"


@admin.register(models.Refund)
class RefundAdmin(History):
    list_display = ("id", "payment", "amount", "currency", "status", "reason", "provider_id", "created_at")
    list_filter = ("status", "currency")
    search_fields = ("key", "provider_id", "reason", "payment__payer_email")
    date_hierarchy = "created_at"


@admin.register(models.Commission)
class CommissionAdmin(History):
    list_display = ("key", "gross", "rate", "tier", "amount", "net", "currency", "created_at")
    list_filter = ("tier", "currency")
    search_fields = ("key",)
    date_hierarchy = "created_at"


@admin.register(models.Earning)
class EarningAdmin(History):
    list_display = ("key", "practitioner", "kind", "amount", "currency", "available_at", "payout")
    list_select_related = ("practitioner", "payout")
    list_filter = ("kind", "currency", ("payout", admin.EmptyFieldListFilter))
    search_fields = ("key", "practitioner__email")
    date_hierarchy = "available_at"


@admin.register(models.PayoutAccount)
class PayoutAccountAdmin(Editable):
    list_display = ("practitioner", "destination", "currency", "is_enabled")
    list_select_related = ("practitioner",)
    list_filter = ("is_enabled", "currency")
    search_fields = ("practitioner__email", "destination")
    raw_id_fields = ("practitioner",)


@admin.register(models.Payout)
class PayoutAdmin(History):
    list_display = ("id", "kind", "practitioner", "amount", "currency", "status", "provider_id", "paid_at")
    list_select_related = ("practitioner",)
    list_filter = ("status", "kind", "currency")
    search_fields = ("practitioner__email", "provider_id", "destination")
    date_hierarchy = "created_at"


@admin.register(models.Package)
class PackageAdmin(Editable):
    list_display = ("title", "practitioner", "sessions_total", "status", "created_at")
    list_select_related = ("practitioner",)
    list_filter = ("status",)
    search_fields = ("title", "practitioner__email")
    date_hierarchy = "created_at"
    raw_id_fields = ("practitioner", "payment")


@admin.register(models.PackageSession)
class PackageSessionAdmin(Editable):
    list_display = ("package", "number", "booking", "completed_at")
    list_select_related = ("package", "booking")
    list_filter = (("completed_at", admin.EmptyFieldListFilter),)
    search_fields = ("package__title",)
    raw_id_fields = ("package", "booking")


@admin.register(models.PackagePayout)
class PackagePayoutAdmin(History):
    list_display = ("package", "sessions_completed", "commission", "payout", "created_at")
    list_select_related = ("package", "commission", "payout")
    search_fields = ("package__title",)
    date_hierarchy = "created_at"


@admin.register(models.Subscription)
class SubscriptionAdmin(Editable):
    list_display = ("practitioner", "tier", "interval", "price", "currency", "status", "current_period_end")
    list_select_related = ("practitioner",)
    list_filter = ("status", "tier", "interval")
    search_fields = ("practitioner__email",)
    date_hierarchy = "current_period_end"
    raw_id_fields = ("practitioner",)


@admin.register(models.SubscriptionCharge)
class SubscriptionChargeAdmin(History):
    list_display = ("subscription", "period_start", "attempt", "amount", "currency", "status", "decline_code")
    list_filter = ("status", "currency")
    search_fields = ("provider_id", "subscription__practitioner__email")
    date_hierarchy = "period_start"


@admin.register(models.LedgerEntry)
class LedgerEntryAdmin(History):
    list_display = ("key", "description", "currency", "occurred_at")
    list_filter = ("currency",)
    search_fields = ("key", "description", "lines__account")
    date_hierarchy = "occurred_at"
    inlines = (Lines,)
