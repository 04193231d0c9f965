{{ stream('contact_sequence_statuses', {
    'contact_id': 'text',
    'emailer_campaign_id': 'text',
    'status': 'text',
    'current_step_position': 'bigint',
    'added_by_user_id': 'text',
    'inactive_reason': 'text',
    'failure_reason': 'text',
    'added_at': 'timestamp',
    'paused_at': 'timestamp',
    'finished_at': 'timestamp',
}) }}
