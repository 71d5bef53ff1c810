
-- From PostgreSQL 15 on.
CREATE VIEW invoked WITH (security_invoker) AS
    SELECT p.id, p.name, p.ssn, a.balance FROM person p LEFT JOIN account a ON a.person_id = p.id;
CREATE VIEW invoked_outer AS SELECT id, name || ssn AS told, balance FROM invoked;
CREATE VIEW invoked_inner WITH (security_invoker) AS SELECT w.id, w.label, w.balance, i.ssn FROM wealthy w JOIN invoked i ON i.id = w.id;
