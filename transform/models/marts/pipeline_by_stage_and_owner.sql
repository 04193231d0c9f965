with deals as (
    select
        opportunity_stage_id,
        owner_id,
        count(*) as deals,
        -- Deals in an account without several currencies need no conversion, and older replies have none.
        cast(sum(coalesce(amount_in_team_currency, amount)) as numeric(20, 4)) as amount,
        cast(
            sum(coalesce(amount_in_team_currency, amount) * cast(deal_probability as numeric(20, 4)) / 100) as numeric(20, 4)
        ) as weighted_amount,
        max(stage_updated_at) as last_moved_at
    from {{ ref('stg_apollo__deals') }}
    group by 1, 2
)

select
    {{ dbt.concat(["coalesce(deals.opportunity_stage_id, '')", "'/'", "coalesce(deals.owner_id, '')"]) }} as row_id,
    stages.opportunity_pipeline_id,
    deals.opportunity_stage_id as stage_id,
    stages.name as stage,
    stages.display_order as stage_order,
    stages.is_closed,
    stages.is_won,
    deals.owner_id,
    users.name as owner,
    users.deleted as owner_left,
    deals.deals,
    deals.amount,
    deals.weighted_amount,
    deals.last_moved_at
from deals
left join {{ ref('stg_apollo__deal_stages') }} as stages on stages.id = deals.opportunity_stage_id
left join {{ ref('stg_apollo__users') }} as users on users.id = deals.owner_id
