//! Logins, queries, cancels and the catalog, against every PostgreSQL that is installed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use config::{Host, Roots, UpstreamTls};
use model::{Oid, Secret, SessionId};
use server::cancel::{CancelHandle, CancelOutcome, CancelRegistry, new_key};
use server::upstream::{LoginError, LoginFault, PeerAddr, QueryError, Target, Upstream, login};
use server::{catalog, upstream::UpstreamStream};
use testkit::postgres::{Cluster, Options, Version};
use wire::scram::Requirement;
use wire::startup::ProtocolVersion;

const LIMIT: Duration = Duration::from_secs(30);

/// One cluster whose pg_hba.conf asks each role for another method.
fn cluster(version: Version) -> Cluster {
    let hba = "\
        hostssl all only_tls all scram-sha-256\n\
        host all only_tls all reject\n\
        host all by_scram all scram-sha-256\n\
        host all by_md5 all md5\n\
        host all by_clear all password\n\
        host all by_trust all trust\n\
        host all nobody all reject";
    let options = Options { ssl: true, hba: Some(hba.to_owned()), ..Options::default() };
    let cluster = Cluster::start(version, options);
    cluster.psql(
        "SET password_encryption TO 'scram-sha-256'; \
         CREATE ROLE by_scram LOGIN PASSWORD 'pä ss'; CREATE ROLE by_clear LOGIN PASSWORD 'pä ss'; \
         CREATE ROLE only_tls LOGIN PASSWORD 'pä ss'; CREATE ROLE by_trust LOGIN; CREATE ROLE nobody LOGIN; \
         SET password_encryption TO 'md5'; CREATE ROLE by_md5 LOGIN PASSWORD 'pä ss'",
    );
    cluster
}

fn over_tcp(cluster: &Cluster, tls: UpstreamTls) -> Target {
    let address = cluster.address();
    let host = Host::Address(address.ip());
    let upstream = config::Upstream { host, port: address.port(), database: "postgres".to_owned(), tls };
    Target::new(&upstream).unwrap()
}

fn over_socket(cluster: &Cluster) -> Target {
    let host = Host::Socket(cluster.socket_dir().to_owned());
    let (port, tls) = (cluster.port(), UpstreamTls::Disable);
    Target::new(&config::Upstream { host, port, database: "postgres".to_owned(), tls }).unwrap()
}

fn verified(cluster: &Cluster) -> UpstreamTls {
    UpstreamTls::VerifyFull(Roots::File(cluster.authority_file()))
}

async fn log_in(target: &Target, user: &str, password: &str) -> Result<Upstream, LoginError> {
    let (user, password) = (Secret::new(user.to_owned()), Secret::new(password.to_owned()));
    login(target, &user, Some(&password), &[], LIMIT).await
}

async fn one(upstream: &mut Upstream, sql: &str) -> String {
    let rows = upstream.query(sql).await.unwrap();
    assert_eq!((rows.len(), rows[0].len()), (1, 1));
    String::from_utf8(rows[0][0].clone().unwrap()).unwrap()
}

#[tokio::test]
async fn every_method_over_every_way() {
    for version in Version::available() {
        let cluster = cluster(version);
        let ca = UpstreamTls::VerifyCa(Roots::File(cluster.authority_file()));
        for tls in [UpstreamTls::Disable, UpstreamTls::Require, ca, verified(&cluster)] {
            let encrypted = tls != UpstreamTls::Disable;
            let target = over_tcp(&cluster, tls.clone());
            for user in ["by_scram", "by_md5", "by_clear", "by_trust", "only_tls"] {
                let result = log_in(&target, user, "pä ss").await;
                if user == "only_tls" && !encrypted {
                    let error = result.err().unwrap();
                    assert_eq!(error.sqlstate().unwrap().as_str(), "28000");
                    assert!(!error.reason().contains(user), "{}", error.reason());
                    continue;
                }
                let mut upstream =
                    result.unwrap_or_else(|e| panic!("{version} {user} {tls:?}: {}", e.reason()));
                assert_eq!(one(&mut upstream, "SELECT current_user").await, user);
                let query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
                assert_eq!(one(&mut upstream, query).await, if encrypted { "t" } else { "f" });
                upstream.terminate().await;
            }
        }
        let mut upstream = log_in(&over_socket(&cluster), "postgres", "").await.unwrap();
        assert!(matches!((&upstream.stream, &upstream.peer), (UpstreamStream::Unix(_), PeerAddr::Unix(_))));
        assert_eq!(one(&mut upstream, "SELECT inet_client_addr() IS NULL").await, "t");
    }
}

#[tokio::test]
async fn channel_binding_is_used_and_can_be_required() {
    for version in Version::available() {
        let cluster = cluster(version);
        let target = over_tcp(&cluster, verified(&cluster)).with_channel_binding(Requirement::Require);
        assert!(log_in(&target, "by_scram", "pä ss").await.is_ok());
        for user in ["by_md5", "by_clear", "by_trust"] {
            let error = log_in(&target, user, "pä ss").await.err().unwrap();
            assert!(matches!(error.fault(), LoginFault::Downgrade(_)), "{}", error.reason());
        }
        let plain = over_tcp(&cluster, UpstreamTls::Disable).with_channel_binding(Requirement::Require);
        let error = log_in(&plain, "by_scram", "pä ss").await.err().unwrap();
        assert!(matches!(error.fault(), LoginFault::Mechanism(_)), "{}", error.reason());
    }
}

#[tokio::test]
async fn a_refused_login_says_why_to_operators_only() {
    let cluster = cluster(Version::V15);
    let target = over_tcp(&cluster, UpstreamTls::Disable);
    for (user, sqlstate) in [
        ("by_scram", "28P01"),
        ("by_md5", "28P01"),
        ("by_clear", "28P01"),
        ("nobody", "28000"),
        ("stranger", "28000"),
    ] {
        let error = log_in(&target, user, "hunter2").await.err().unwrap();
        assert_eq!(error.sqlstate().unwrap().as_str(), sqlstate, "{}", error.reason());
        let reason = error.reason();
        assert!(
            reason.starts_with(&format!("upstream {}: it refused the login: ", cluster.address())),
            "{reason}"
        );
        assert!(!reason.contains("hunter2") && !reason.contains(user), "{reason}");
        assert_eq!(error.neutral(), "the database refused the gateway's login");
    }
    let foreign = testkit::tls::Authority::new("foreign");
    let file = testkit::scratch::Scratch::new("roots");
    let roots = Roots::File(file.write("ca.crt", foreign.certificate()));
    let error =
        log_in(&over_tcp(&cluster, UpstreamTls::VerifyFull(roots)), "by_scram", "x").await.err().unwrap();
    assert!(error.reason().contains("sslrootcert"), "{}", error.reason());
    assert_eq!(error.neutral(), "the database can't be reached securely");
}

#[tokio::test]
async fn the_session_is_what_was_asked_for() {
    for version in Version::available() {
        let cluster = Cluster::plain(version);
        let target = over_socket(&cluster);
        let given =
            [("application_name", "tést"), ("search_path", "a, \"B c\""), ("statement_timeout", "1234")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let user = Secret::new("postgres".to_owned());
        let mut upstream = login(&target, &user, None, &given, LIMIT).await.unwrap();
        assert_eq!(upstream.version_major, version.major());
        let newest = version >= Version::V18;
        assert_eq!(upstream.version, if newest { ProtocolVersion::V3_2 } else { ProtocolVersion::V3_0 });
        assert_eq!(upstream.cancel_key.expose().len(), if newest { 32 } else { 4 });
        assert_eq!(one(&mut upstream, "SELECT pg_backend_pid()").await, upstream.process_id.to_string());
        let reported = |name: &str| {
            upstream.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        assert_eq!(reported("client_encoding").as_deref(), Some("UTF8"));
        assert!(reported("application_name").is_some());
        for (name, expected) in [("search_path", "a, \"B c\""), ("statement_timeout", "1234ms")] {
            assert_eq!(one(&mut upstream, &format!("SHOW {name}")).await, expected);
        }
        let refused = upstream.query("SELECT 1/0").await.unwrap_err();
        assert!(
            matches!(refused, QueryError::Refused { sqlstate: Some(state), .. } if state.as_str() == "22012")
        );
        assert_eq!(one(&mut upstream, "SELECT 'still here'").await, "still here");
        assert!(matches!(
            upstream.query("COPY (SELECT 1) TO STDOUT").await,
            Err(QueryError::Unexpected(b'H'))
        ));
        assert!(matches!(upstream.query("SELECT 1").await, Err(QueryError::GivenUp)));
    }
}

/// Runs `pg_sleep` until it is cancelled by `cancel`, which gets the session's registered key.
async fn sleep_cancelled(target: Target, user: &str) {
    let target = Arc::new(target);
    let mut upstream = log_in(&target, user, "pä ss").await.unwrap();
    let registry = Arc::new(CancelRegistry::default());
    let handle = Arc::new(CancelHandle::new(SessionId(7), target.clone(), &upstream));
    let key = new_key(ProtocolVersion::V3_0).unwrap();
    let process_id = upstream.process_id;
    let _registration = registry.register(key.clone(), handle);
    let mut watcher = log_in(&target, user, "pä ss").await.unwrap();

    let sleeping = tokio::spawn(async move { upstream.query("SELECT pg_sleep(600)").await });
    let running =
        format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {process_id} AND wait_event = 'PgSleep'");
    while one(&mut watcher, &running).await != "1" {
        tokio::task::yield_now().await;
    }
    let here = "127.0.0.1".parse().unwrap();
    let wrong = Secret::new(vec![0; 32]);
    let outcome = registry.cancel(Instant::now(), here, process_id, &wrong, drop).await;
    assert!(matches!(outcome, CancelOutcome::UnknownKey));
    let outcome = registry.cancel(Instant::now(), here, process_id, &key, drop).await;
    assert!(matches!(outcome, CancelOutcome::Sent(SessionId(7))), "{outcome:?}");
    let refused = sleeping.await.unwrap().unwrap_err();
    assert!(
        matches!(refused, QueryError::Refused { sqlstate: Some(state), .. } if state.as_str() == "57014")
    );
}

#[tokio::test]
async fn a_cancel_goes_the_way_of_its_session() {
    for version in Version::available() {
        let cluster = cluster(version);
        sleep_cancelled(over_tcp(&cluster, verified(&cluster)), "only_tls").await;
        sleep_cancelled(over_tcp(&cluster, UpstreamTls::Disable), "by_scram").await;
        sleep_cancelled(over_socket(&cluster), "postgres").await;
    }
}

#[tokio::test]
async fn the_catalog_is_read_whole_whatever_the_search_path_is() {
    for version in Version::available() {
        let cluster = Cluster::plain(version);
        cluster.psql(
            "CREATE SCHEMA evil; CREATE TABLE evil.pg_class (oid oid); \
             CREATE TABLE public.t (a int, gone int, \"B\" text, g int GENERATED ALWAYS AS (a) STORED); \
             ALTER TABLE public.t DROP COLUMN gone; \
             CREATE FUNCTION evil.f() RETURNS int LANGUAGE sql STABLE SECURITY DEFINER AS 'SELECT 1'; \
             CREATE FUNCTION evil.same(oid, oid) RETURNS bool LANGUAGE sql AS 'SELECT false'; \
             CREATE OPERATOR evil.= (FUNCTION = evil.same, LEFTARG = oid, RIGHTARG = oid); \
             CREATE OPERATOR evil.>= (FUNCTION = evil.same, LEFTARG = oid, RIGHTARG = oid); \
             DO $$BEGIN FOR n IN 1..500 LOOP EXECUTE format('CREATE TABLE wide_%s (a int, b int, c int, d int, e int)', n); \
             END LOOP; END$$",
        );
        let path = [("search_path".to_owned(), "evil, pg_catalog".to_owned())];
        let user = Secret::new("postgres".to_owned());
        let mut upstream = login(&over_socket(&cluster), &user, None, &path, LIMIT).await.unwrap();
        let loaded = catalog::load(&mut upstream, None).await.unwrap();
        let relation = |name: &str| {
            loaded.relations().find(|(_, relation)| relation.name.to_string() == name).map(|(_, r)| r.clone())
        };
        let columns: Vec<_> = relation("public.t")
            .unwrap()
            .columns
            .iter()
            .map(|c| (c.number, c.name.to_string(), c.generated))
            .collect();
        assert_eq!(columns, [(1, "a".into(), false), (3, "B".into(), false), (4, "g".into(), true)]);
        for n in 1..=500 {
            assert_eq!(
                relation(&format!("public.wide_{n}")).unwrap().columns.len(),
                5,
                "batches break no relation"
            );
        }
        let function = loaded.functions().find(|(_, f)| f.name.to_string() == "evil.f").unwrap().1.clone();
        assert_eq!((function.volatility, function.security_definer), (b's', true));
        assert!(loaded.functions().any(|(oid, _)| oid.is_builtin()));
        let own = one_oid(
            &cluster,
            "SELECT oid FROM pg_operator WHERE oprnamespace = 'evil'::regnamespace AND oprname = '='",
        );
        let called = one_oid(&cluster, "SELECT 'evil.same'::regproc::oid");
        assert_eq!(loaded.operator_function(own), Some(called));
        let state = format!("SELECT state FROM pg_stat_activity WHERE pid = {}", upstream.process_id);
        assert_eq!(cluster.psql(&state).trim(), "idle", "in no transaction");
    }
}

/// Holds a lock that the catalog's queries need for longer than the client's own limits allow.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_client_s_time_limits_are_not_the_catalog_s() {
    for version in Version::available() {
        let cluster = Cluster::plain(version);
        let limits = ["statement_timeout", "lock_timeout", "transaction_timeout"]
            .map(|name| (name.to_owned(), "200ms".to_owned()));
        let given = if version >= Version::V17 { &limits[..] } else { &limits[..2] };
        let user = Secret::new("postgres".to_owned());
        let mut upstream = login(&over_socket(&cluster), &user, None, given, LIMIT).await.unwrap();
        let process_id = upstream.process_id;
        let mut holder = cluster.connect("postgres");
        holder.rows("BEGIN; LOCK TABLE pg_catalog.pg_operator IN ACCESS EXCLUSIVE MODE");
        let loading = tokio::spawn(async move { catalog::load(&mut upstream, None).await.map(|_| upstream) });
        let waited = format!(
            "SELECT count(*) FROM pg_locks WHERE pid = {process_id} AND NOT granted \
             AND waitstart < clock_timestamp() - interval '400 ms'"
        );
        while holder.rows(&waited).trim() != "1" {
            assert!(!loading.is_finished(), "{:?}", loading.await.unwrap().err());
        }
        holder.rows("COMMIT");
        let mut upstream = loading.await.unwrap().unwrap();
        assert_eq!(one(&mut upstream, "SHOW statement_timeout").await, "200ms", "as it was");
    }
}

fn one_oid(cluster: &Cluster, sql: &str) -> Oid {
    Oid(cluster.psql(sql).trim().parse().unwrap())
}

#[tokio::test]
async fn name_scopes_differ_where_names_may_mean_something_else() {
    let cluster = Cluster::plain(Version::V15);
    cluster.psql("CREATE ROLE a LOGIN; CREATE ROLE b LOGIN; CREATE SCHEMA a; CREATE SCHEMA s");
    let scope = async |user: &str, path: Option<&str>| {
        let given: Vec<_> =
            path.map(|path| ("search_path".to_owned(), path.to_owned())).into_iter().collect();
        let user = Secret::new(user.to_owned());
        let mut upstream = login(&over_socket(&cluster), &user, None, &given, LIMIT).await.unwrap();
        catalog::name_scope(&mut upstream, None).await.unwrap()
    };
    assert_eq!(scope("a", None).await, scope("a", None).await);
    let scopes = [
        scope("a", None).await,
        scope("b", None).await,
        scope("b", Some("s")).await,
        scope("b", Some("a")).await,
        scope("b", Some("\"a, s\"")).await,
        scope("b", Some("a, s")).await,
    ];
    for (index, scope) in scopes.iter().enumerate() {
        assert!(!scopes[..index].contains(scope), "{scopes:?}");
    }
    let before = scope("b", Some("s")).await;
    cluster.psql("GRANT USAGE ON SCHEMA s TO b");
    assert_ne!(scope("b", Some("s")).await, before, "a schema that may now be used is searched");
}
