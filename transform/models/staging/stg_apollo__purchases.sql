{#- What the tap bought, as far as its rows tell when. The prices are those of docs/credits.md. -#}
{%- set bought = {'id': 'text', 'purchased_at': 'timestamp'} -%}

with person_details as (
    {{ stream('person_details', bought) }}
),

organization_details as (
    {{ stream('organization_details', bought) }}
),

organization_enrichment as (
    {{ stream('organization_enrichment', bought) }}
),

people_enrichment as (
    {{ stream('people_enrichment', dict(bought, request_id='text')) }}
),

conversation_details as (
    {{ stream('conversation_details', dict(bought, state='text')) }}
),

conversation_exports as (
    {{ stream('conversation_exports', {
        'export_id': 'text',
        'requested_at': 'timestamp',
        'conversations': objects_type(),
    }) }}
),

exported_conversations as (
    select export_id, requested_at, {{ each_object('conversations') }} as conversation from conversation_exports
),

purchases as (
    select 'person_details' as stream, id as record_id, purchased_at, 1 as credits from person_details
    union all
    select 'organization_details', id, purchased_at, 1 from organization_details
    union all
    select 'organization_enrichment', id, purchased_at, 1 from organization_enrichment
    union all
    -- A request id says that results follow: a telephone number, at 8 credits more, or a waterfall, whose price is not known.
    select
        'people_enrichment', id, purchased_at,
        case when request_id is null then 1 else 1 + {{ var('credits_for_what_follows') }} end
    from people_enrichment
    union all
    -- A conversation that failed has no insights and is free.
    select 'conversation_details', id, purchased_at, case when state = 'failed' then 0 else 1 end
    from conversation_details
    union all
    select
        'conversation_exports', export_id, max(requested_at),
        count(case when coalesce(conversation ->> 'state', '') <> 'failed' then 1 end)
    from exported_conversations
    group by export_id
)

select stream, record_id, purchased_at, cast(credits as bigint) as credits
from purchases
where purchased_at is not null
