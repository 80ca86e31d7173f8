-- The rights of the user that the service runs as, order_service: these and no others.
-- The user that owns the tables runs them after each migration:
--     alembic -x grant_to=order_service upgrade head
-- does both in one transaction. With psql: psql --file migrations/grants.sql. Rights that are there already stay.

GRANT USAGE ON SCHEMA public TO order_service;

-- The service: HTTP, commands, relay, housekeeping and watch. Rows that are locked need UPDATE, too.
GRANT SELECT ON order_service_schema TO order_service;
GRANT SELECT, INSERT, UPDATE ON orders TO order_service;
GRANT SELECT, INSERT ON order_changes TO order_service;
GRANT SELECT, INSERT ON saga_orders TO order_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox TO order_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON dead_letters TO order_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO order_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON refused_accepts TO order_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON command_identities TO order_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON given_up_commands TO order_service;
GRANT SELECT, INSERT, UPDATE ON consumer_offsets TO order_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON consumer_checkpoints TO order_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON kafka_cluster TO order_service;
GRANT SELECT, INSERT, UPDATE ON relay_positions TO order_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON known_events TO order_service;
GRANT SELECT, DELETE ON order_count_deltas TO order_service;
GRANT SELECT, INSERT, DELETE ON order_count_floors TO order_service;
GRANT SELECT, INSERT ON order_count_marks TO order_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON order_counts TO order_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON alarms TO order_service;
GRANT SELECT, INSERT, UPDATE ON watch TO order_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON flow_minutes TO order_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON http_refusals TO order_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON jobs TO order_service;
GRANT SELECT, INSERT, UPDATE ON job_items TO order_service;
GRANT SELECT ON lost_events TO order_service;
GRANT SELECT ON taken_out_events TO order_service;
GRANT SELECT, UPDATE (last_used) ON api_keys TO order_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON instances TO order_service;
GRANT SELECT, INSERT, DELETE ON console_secrets TO order_service;
GRANT SELECT ON SEQUENCE outbox_id_seq TO order_service;
GRANT SELECT ON SEQUENCE dead_letters_id_seq TO order_service;

-- What only operators need, by `flask orders` or in the console. Leave it out where operators have a user of their own,
-- who then needs all of this: so whoever takes the service over makes no API keys either. The console acts as the
-- service's user: without the rights on operator_actions its acts, showing persons, the audit and the page Flow do not
-- work, and its acts on events need the rights on lost_events and taken_out_events. Leave those, or run CONSOLE=off.
GRANT SELECT, INSERT, UPDATE ON operator_actions TO order_service;
GRANT INSERT, UPDATE ON lost_events TO order_service;
GRANT INSERT, UPDATE ON taken_out_events TO order_service;
GRANT DELETE ON consumer_offsets TO order_service;
GRANT INSERT, UPDATE ON api_keys TO order_service;
GRANT EXECUTE ON FUNCTION recount_orders() TO order_service;
