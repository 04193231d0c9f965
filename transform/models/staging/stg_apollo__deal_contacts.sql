with deals as (
    {{ stream('deals', {'id': 'text', 'opportunity_contact_roles': objects_type()}) }}
),

roles as (
    select id as deal_id, {{ each_object('opportunity_contact_roles') }} as role from deals
)

select
    deal_id,
    coalesce(role ->> 'contact_id', role ->> 'id') as contact_id,
    bool_or(coalesce(cast(role ->> 'is_primary' as boolean), false)) as is_primary
from roles
group by 1, 2
