with emails as (
    select
        email.emailer_campaign_id as sequence_id,
        email.campaign_name,
        email.contact_id,
        email.completed_at,
        email.status = 'completed' as sent,
        email.status = 'completed' and email.replied as replied,
        email.status = 'completed' and (email.bounce or email.spam_blocked) as bounced,
        case when email.status = 'completed' then coalesce(activity.num_opens, email.num_opens) end as opens
    from {{ ref('stg_apollo__outreach_emails') }} as email
    left join (
        select emailer_message_id, max(num_opens) as num_opens
        from {{ ref('stg_apollo__outreach_email_activities') }}
        group by 1
    ) as activity on activity.emailer_message_id = email.id
    where email.emailer_campaign_id is not null
),

counts as (
    select
        sequence_id,
        max(campaign_name) as campaign_name,
        count(*) as emails,
        count(case when sent then 1 end) as sent,
        count(distinct case when sent then contact_id end) as contacts_written_to,
        -- Null, not 0, if no e-mail of the sequence tells its opens.
        case when count(opens) > 0 then count(case when opens > 0 then 1 end) end as opened,
        count(opens) as opens_known_of,
        count(case when replied then 1 end) as replied,
        count(case when bounced then 1 end) as bounced,
        min(completed_at) as first_sent_at,
        max(completed_at) as last_sent_at
    from emails
    group by 1
)

select
    coalesce(sequences.id, counts.sequence_id) as sequence_id,
    coalesce(sequences.name, counts.campaign_name) as sequence,
    sequences.user_id as owner_id,
    users.name as owner,
    sequences.active,
    sequences.archived,
    coalesce(counts.emails, 0) as emails,
    coalesce(counts.sent, 0) as sent,
    coalesce(counts.contacts_written_to, 0) as contacts_written_to,
    counts.opened,
    coalesce(counts.opens_known_of, 0) as opens_known_of,
    coalesce(counts.replied, 0) as replied,
    coalesce(counts.bounced, 0) as bounced,
    cast(counts.opened as double precision) / nullif(counts.opens_known_of, 0) as open_rate,
    cast(counts.replied as double precision) / nullif(counts.sent, 0) as reply_rate,
    cast(counts.bounced as double precision) / nullif(counts.sent, 0) as bounce_rate,
    counts.first_sent_at,
    counts.last_sent_at,
    sequences.unique_delivered as contacts_delivered_by_apollo,
    sequences.unique_opened as contacts_opened_by_apollo,
    sequences.unique_replied as contacts_replied_by_apollo,
    sequences.unique_bounced as contacts_bounced_by_apollo
from {{ ref('stg_apollo__sequences') }} as sequences
full join counts on counts.sequence_id = sequences.id
left join {{ ref('stg_apollo__users') }} as users on users.id = sequences.user_id
