with emails as (
    select
        contact_id,
        count(*) as emails_sent,
        count(case when replied then 1 end) as emails_replied,
        count(case when bounce or spam_blocked then 1 end) as emails_bounced,
        max(completed_at) as last_email_at
    from {{ ref('stg_apollo__outreach_emails') }}
    where status = 'completed'
    group by 1
),

calls as (
    select
        contact_id,
        count(case when not inbound then 1 end) as calls_made,
        count(case when inbound then 1 end) as calls_received,
        count(case when status = 'completed' then 1 end) as calls_answered,
        max(start_time) as last_call_at
    from {{ ref('stg_apollo__calls') }}
    group by 1
),

tasks as (
    select
        contact_id,
        count(case when status = 'completed' then 1 end) as tasks_completed,
        count(case when status = 'scheduled' then 1 end) as tasks_open,
        max(completed_at) as last_task_completed_at
    from {{ ref('stg_apollo__tasks') }}
    group by 1
),

enrolments as (
    select
        contact_id,
        count(*) as sequences,
        count(case when status = 'active' then 1 end) as sequences_active
    from {{ ref('stg_apollo__contact_sequence_statuses') }}
    group by 1
)

select
    contacts.id as contact_id,
    contacts.name,
    contacts.email,
    contacts.account_id,
    contacts.owner_id,
    stages.name as stage,
    coalesce(emails.emails_sent, 0) as emails_sent,
    coalesce(emails.emails_replied, 0) as emails_replied,
    coalesce(emails.emails_bounced, 0) as emails_bounced,
    coalesce(calls.calls_made, 0) as calls_made,
    coalesce(calls.calls_received, 0) as calls_received,
    coalesce(calls.calls_answered, 0) as calls_answered,
    coalesce(tasks.tasks_completed, 0) as tasks_completed,
    coalesce(tasks.tasks_open, 0) as tasks_open,
    coalesce(enrolments.sequences, 0) as sequences,
    coalesce(enrolments.sequences_active, 0) as sequences_active,
    emails.last_email_at,
    calls.last_call_at,
    tasks.last_task_completed_at,
    greatest(emails.last_email_at, calls.last_call_at, tasks.last_task_completed_at) as last_touch_at,
    contacts.last_activity_date as last_activity_by_apollo_at
from {{ ref('stg_apollo__contacts') }} as contacts
left join {{ ref('stg_apollo__contact_stages') }} as stages on stages.id = contacts.contact_stage_id
left join emails on emails.contact_id = contacts.id
left join calls on calls.contact_id = contacts.id
left join tasks on tasks.contact_id = contacts.id
left join enrolments on enrolments.contact_id = contacts.id
