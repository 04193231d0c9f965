"""Users, mailboxes, and the team's configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apollo_sandbox.clock import DAY
from apollo_sandbox.ids import Kind
from apollo_sandbox.rows.persons import email_account_id
from apollo_sandbox.rows.stamps import Row, constants, day, keyed, offset_stamp, stamp

if TYPE_CHECKING:
    from apollo_sandbox.catalog import CustomField, Label, Schedule, Stage
    from apollo_sandbox.entities import User
    from apollo_sandbox.world import World

# What is the same for every user: the state of Apollo's own pages.
_INTERFACE_STATE = constants(
    """
null: credit_limit direct_dial_credit_limit export_credit_limit ai_credit_limit salesforce_account salesforce_id
null: default_cockpit_layout default_account_overview_layout_id default_contact_overview_layout_id
null: default_person_overview_layout_id default_organization_overview_layout_id default_opportunity_overview_layout_id
null: default_home_overview_layout_id bridge_phone_number bridge_incoming_phone_number salesforce_instance_url
null: disable_email_linking sync_salesforce_id sync_crm_id zp_is_super_analytics_user notification_last_created_at
null: crm_requested_to_integrate notification_last_read_at request_email_change_to self_identified_persona
null: conversation_is_private typed_custom_fields crm_email enable_one_click_unsubscribe linked_salesforce
null: linked_crm_name enable_gmail_desktop_notifications
false: password_needs_reset bridge_calls bridge_incoming_calls default_use_local_numbers chrome_extension_downloaded
false: email_oauth_signin_only has_invited_user has_used_enrichment has_uploaded_csv has_hidden_onboarding
false: daily_data_request_email connected_to_slack enable_click_tracking should_include_unsubscribe_link
false: linked_zoom_conference_account linked_hubspot linked_salesloft enable_desktop_notifications
false: default_chrome_extension_enable_reminders
true: current_email_verified record_calls data_request_emails daily_task_email free_data_credits_email
true: dismiss_new_team_suggestion territory_is_active show_deals_detail_page_updates_modal fields_fully_loaded
true: enable_open_tracking linked_bot_conference_account has_conference_account
true: default_chrome_extension_log_email_send_to_salesforce default_chrome_extension_log_email_send_to_hubspot
true: chrome_extension_auto_match_salesforce_opportunity chrome_extension_gmail_enable_email_tools
true: chrome_extension_gmail_enable_crm_sidebar show_chrome_extension_buying_intent_promo
[]: triggered_referral_campaigns subteam_ids prospect_territory_ids toggled_on_territory_ids
"To hear no more from us, <%follow this link%>.": opt_out_html_template
["google_meet", "zoom"]: linked_bot_conference_account_platforms
"right": chrome_extension_everywhere_icon_horizontal_position
10: chrome_extension_everywhere_icon_vertical_position_in_vh
0: apollo_everywhere_search_count
["everywhere", "mail_toolbar", "calendar", "crm_sidebar"]: chrome_extension_enabled_features
["intranet.test", "payroll.test", "wiki.test"]: chrome_extension_exclude_from_websites
"""
)


_ASSISTANT_SETTING = constants(
    """
[]: inactive_account_stage_ids inactive_contact_stage_ids job_posting_locations job_posting_titles persona_ids
[]: success_case_account_stage_ids technology_uids territory_company_size_ranges territory_locations
[]: territory_person_locations
{}: insight_deal_size_signals insight_sale_cycle_signals insight_win_rate_signals
false: is_persona_recommendation_requested territory_location_override
"amount": deal_size_metric
90: latest_funding_days
100: max_num_active_accounts
5: max_people_in_sequence_per_account
180: num_inactive_days_to_re_engage
true: should_show_persona_banner
"""
)


def user_listed(world: World, user: User) -> Row:
    """Give a user, with all the interface state that Apollo's search carries along."""
    invited = user.serial % 7 == 6  # noqa: PLR2004 - an invitation not yet accepted has no name
    setting_id = world.ids.make(Kind.SETTING, user.serial, user.created)
    return {
        "id": user.id,
        "team_id": world.catalog.team_id,
        "first_name": None if invited else user.first_name,
        "last_name": None if invited else user.last_name,
        "title": None if invited else user.title,
        "email": user.email,
        "created_at": stamp(user.created),
        "deleted": user.deleted,
        "name": "" if invited else user.name,
        "referral_code": f"{world.ids.bits(Kind.USER, user.serial):x}",
        "permission_set_id": world.ids.make(Kind.RULESET, 1, world.founded),
        "zp_contact_id": world.ids.make(Kind.RULESET, 2 + user.serial, user.created),
        **_INTERFACE_STATE,
        "assistant_setting": keyed(
            {
                **_ASSISTANT_SETTING,
                "team_id": world.catalog.team_id,
                "user_id": user.id,
            },
            setting_id,
        ),
    }


def user_profile(world: World, user: User) -> Row:
    """Give the user the key acts for."""
    return {
        "id": user.id,
        "team_id": world.catalog.team_id,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "title": user.title,
        "email": user.email,
    }


_EMAIL_ACCOUNT = constants(
    """
null: nylas_provider sendgrid_api_user mailgun_domains nylas_api_version sendgrid_api_key_v3 is_opted_in_mailwarming
null: mailwarming_eta mailwarming_subject_token true_warmup_status true_warmup_approximate_end_date
null: true_warmup_last_throttled_at
0: mailwarming_max mailwarming_to_send_daily mailwarming_to_send_incrementor mailwarming_score true_warmup_daily_limit
0: true_warmup_progress
true: default limits_editable mailwarming_on_weekdays_only fields_fully_loaded
false: signature_edit_disabled true_warmup_enabled true_warmup_enable_thresholds nudge_user_to_send_mails
"gmail": type
600: seconds_delay_between_emails
"Gmail": provider_display_name
"default": email_sending_policy_cd
50: email_daily_threshold
6: max_outbound_emails_per_hour
"never_started": mailwarming_status
"start_warm_up_for_score": mailwarming_score_banner
"""
)


def email_account(world: World, user: User) -> Row:
    """Give a user's mailbox."""
    account_id = email_account_id(world, user.serial)
    dice = world.ids.dice(Kind.EMAIL_ACCOUNT, user.serial)
    return {
        **_EMAIL_ACCOUNT,
        "aliases": [user.email],
        "id": account_id,
        "user_id": user.id,
        "email": user.email,
        "active": not user.deleted,
        "last_synced_at": offset_stamp(world.start - dice.whole(1, 100) * 1000),
        "revoked_at": offset_stamp(world.start - DAY) if user.deleted else None,
        "inactive_reason": "User left" if user.deleted else None,
        "created_at": stamp(user.created),
        "deliverability_score": _deliverability(world, user, account_id, dice.random()),
        "true_warmup_thresholds": {
            "open_rate": 20,
            "reply_rate": 1,
            "bounce_rate": 1,
            "spam_block_rate": 1,
        },
        "active_campaigns_count": dice.whole(0, 5),
        "signature_html": f"<div>{user.name}</div>",
    }


def _deliverability(world: World, user: User, account_id: str, luck: float) -> Row:
    averages = (
        "avg_click_rate avg_daily_sent avg_delivered_rate avg_hard_bounce_rate avg_open_rate "
        "avg_reply_rate avg_spam_block_rate avg_unsubscribe_rate click_rate_score "
        "daily_email_sent_score deliverability_score hard_bounce_score open_rate_score "
        "reply_rate_score spam_block_score sum_clicked_count sum_delivered_count "
        "sum_hard_bounced_count sum_opened_count sum_replied_count sum_sent_count "
        "sum_spam_blocked_count sum_unsubscribed_count unsubscribe_rate_score"
    )
    week_ago = world.start - 7 * DAY
    return keyed(
        {
            **dict.fromkeys(averages.split(), 0),
            "concurrency_locks": None,
            "created_at": stamp(week_ago),
            "date_from": day(week_ago),
            "date_to": day(world.start),
            "domain_health_score": 5,
            "email_account_domain_age_score": 5,
            "email_account_id": account_id,
            "random": luck,
            "team_id": world.catalog.team_id,
            "updated_at": stamp(week_ago),
            "user_id": user.id,
        },
        world.ids.make(Kind.SETTING, 1 << 20 | user.serial, week_ago),
    )


def contact_stage(world: World, stage: Stage, order: int) -> Row:
    """Give a stage of contacts."""
    return {
        "id": stage.id,
        "team_id": world.catalog.team_id,
        "display_name": stage.name,
        "name": stage.name,
        "display_order": order,
        "ignore_trigger_override": None,
        "category": stage.category,
        "is_meeting_set": None,
    }


def account_stage(world: World, stage: Stage, order: int) -> Row:
    """Give a stage of accounts."""
    return {
        "id": stage.id,
        "team_id": world.catalog.team_id,
        "display_name": stage.name,
        "name": stage.name,
        "display_order": order,
        "default_exclude_for_leadgen": stage.category == "failed",
        "category": stage.category,
        "is_meeting_set": None,
    }


def label(world: World, one: Label, count: int) -> Row:
    """Give a list, as Apollo's users call it."""
    return keyed(
        {
            "cached_count": count,
            "concurrency_locks": {},
            "created_at": stamp(one.created),
            "modality": one.modality,
            "name": one.name,
            "need_cached_count_update": False,
            "needs_count_update_at": None,
            "rule_config_template_id": None,
            "team_id": world.catalog.team_id,
            "updated_at": stamp(one.created + DAY),
            "user_id": next(iter(world.users)).id,
        },
        one.id,
    )


def label_of_contact(world: World, one: Label, count: int) -> Row:
    """Give a list as `contacts/{id}` shows it beside the contact."""
    kept = ("id", "modality", "cached_count", "name", "created_at", "updated_at", "user_id")
    row = label(world, one, count)
    return {key: row[key] for key in kept}


_CUSTOM_FIELD = constants(
    """
null: mapped_crm_field additional_mapped_crm_field is_readonly_mapped_crm_field system_name text_field_max_length
[]: picklist_options finder_view_ids
false: mirrored is_local
"""
)


def custom_field(one: CustomField) -> Row:
    """Give a custom field as `typed_custom_fields` lists it."""
    picklist = one.type in {"picklist", "multi_picklist"}
    row: Row = {
        **_CUSTOM_FIELD,
        "id": one.id,
        "modality": one.modality,
        "name": one.name,
        "type": one.type,
        "picklist_options_last_synced_at": offset_stamp(one.created) if picklist else None,
        "picklist_value_set_id": one.id if picklist else None,
    }
    if picklist:
        row["picklist_values"] = [
            keyed({"mapped_crm_values": {}, "name": option.name}, option.id) for option in one.options
        ]
    return row


_SYSTEM_FIELDS = (
    ("contact", "id", "Identifier", "string", None),
    ("contact", "name", "Name", "string", None),
    ("contact", "first_name", "First name", "string", "contact.name"),
    ("contact", "last_name", "Last name", "string", "contact.name"),
    ("contact", "email", "Email", "string", None),
    ("contact", "title", "Title", "string", None),
    ("contact", "account_id", "Account", "association", None),
    ("account", "id", "Identifier", "string", None),
    ("account", "name", "Company", "string", None),
    ("account", "domain", "Domain", "string", None),
    ("opportunity", "id", "Identifier", "string", None),
    ("opportunity", "amount", "Amount", "number", None),
)
_CATEGORIES = {"contact": "person", "account": "company", "opportunity": "deal"}


def fields(world: World) -> list[Row]:
    """Give all fields, Apollo's own first, as `fields` lists them."""
    own = [
        _field(f"{modality}.{name}", modality, label_text, kind, parent)
        for modality, name, label_text, kind, parent in _SYSTEM_FIELDS
    ]
    for one in world.catalog.custom_fields:
        row = _field(f"{one.modality}.{one.id}", one.modality, one.name, one.type, None)
        row.update(
            field_name=one.name,
            source="custom",
            group=None,
            icon_class=None,
            parent=f"{one.modality}.other_custom_field",
            created_at=stamp(one.created),
        )
        if one.options:
            row["picklist_values"] = custom_field(one)["picklist_values"]
        own.append(row)
    return own


_FIELD = constants(
    """
null: description example project_workspace_id
false: editable is_local
[]: finder_view_ids finder_views
["finder", "csv_export"]: context
"basic_info": group
"user": icon_class
"system": source
"""
)


def _field(field_id: str, modality: str, text: str, kind: str, parent: str | None) -> Row:
    return {
        **_FIELD,
        "id": field_id,
        "category": _CATEGORIES[modality],
        "field_name": field_id,
        "label": text,
        "modality": modality,
        "parent": parent,
        "type": kind,
    }


def schedule(one: Schedule, *, default: bool) -> Row:
    """Give a sending schedule."""
    days = ("monday", "tuesday", "wednesday", "thursday", "friday")
    return {
        "id": one.id,
        "name": one.name,
        "default": default,
        "time_zone": "America/Chicago",
        "schedule_hash": {name: [[8, 17]] for name in days},
        "created_at": stamp(one.created),
        "use_contacts_time_zone": True,
        "skip_holidays": True,
    }
