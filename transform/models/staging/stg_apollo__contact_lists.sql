with contacts as (
    {{ stream('contacts', {'id': 'text', 'label_ids': texts_type()}) }}
)

select distinct contact_id, list_id
from (select id as contact_id, {{ each_text('label_ids') }} as list_id from contacts) as memberships
