select
    {{ dbt.concat(["cast(cast(purchased_at as date) as text)", "'/'", "stream"]) }} as row_id,
    cast(purchased_at as date) as day,
    stream,
    count(*) as records,
    sum(credits) as estimated_credits
from {{ ref('stg_apollo__purchases') }}
group by cast(purchased_at as date), stream
