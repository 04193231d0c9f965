with days as (
    select
        credit_type,
        cycle_start,
        cast(read_at as date) as day,
        max(read_at) as read_at
    from {{ ref('credit_readings') }}
    group by 1, 2, 3
),

readings as (
    select
        days.day,
        days.credit_type,
        days.cycle_start,
        days.read_at,
        readings.consumed,
        lag(readings.consumed) over one_cycle as consumed_before,
        lag(days.read_at) over one_cycle as read_before
    from days
    inner join {{ ref('credit_readings') }} as readings
        on readings.credit_type = days.credit_type and readings.read_at = days.read_at
    window one_cycle as (partition by days.credit_type, days.cycle_start order by days.read_at)
)

select
    {{ dbt.concat(["cast(day as text)", "'/'", "credit_type"]) }} as row_id,
    day,
    credit_type,
    case when credit_type = 'dialer' then 'minutes' else 'credits' end as unit,
    -- The first reading of a cycle counts from the cycle's start; without a cycle, what came before it is not known.
    cast(sum(
        case when consumed_before is not null or cycle_start is not null then consumed - coalesce(consumed_before, 0) end
    ) as numeric(20, 4)) as spent,
    min(coalesce(read_before, cycle_start)) as counted_from,
    max(read_at) as counted_to
from readings
group by day, credit_type
