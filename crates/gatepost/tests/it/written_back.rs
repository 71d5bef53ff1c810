//! Masked values that come back as data: refused where they would be stored, in text, as parameters and by COPY.

use testkit::postgres::Version;

use crate::flight::{Flight, sqlstate};
use crate::stage::{Setup, Shop, repository};

#[test]
fn what_was_masked_on_its_way_out_is_not_stored_on_its_way_back() {
    let policy = repository("crates/gatepost/tests/it/proof/policy");
    let gate = Setup { policy, ..Setup::default() }.start(Shop::new(Version::V15));
    let before = gate.shop.sql("SELECT md5(string_agg(c::text, '' ORDER BY id)) FROM customers c");
    let mut raw = gate.open("analyst");
    let shown = raw.rows("SELECT email, phone, ssn, birth_date, upper(notes) FROM customers WHERE id = 1");
    let [email, phone, ssn, birth_date, notes] = shown.split('|').collect::<Vec<_>>().try_into().unwrap();
    let by_parameter = |statement: &str, value: &str| {
        Flight::default().parse("", statement).bind("", &[value], 0).execute().sync()
    };
    for (column, value) in
        [("email", email), ("phone", phone), ("ssn", ssn), ("birth_date", birth_date), ("notes", notes)]
    {
        let text = format!("UPDATE customers SET {column} = '{value}' WHERE id = 1");
        let messages = raw.query(&text);
        assert_eq!(sqlstate(&messages), "42501", "{text}: {messages:?}");
        assert!(messages[0].field(b'M').contains("a masked value would be stored"), "{messages:?}");
        let text = format!("UPDATE customers SET {column} = $1 WHERE id = 1");
        assert_eq!(sqlstate(&by_parameter(&text, value).answered(&mut raw)), "42501", "{text} {value}");
        let text = format!(
            "UPDATE customers SET {column} = E'\\x{:02x}{}'",
            value.as_bytes()[0],
            value.get(1..).unwrap()
        );
        assert_eq!(sqlstate(&raw.query(&text)), "42501", "{text}");
    }
    for text in [
        "INSERT INTO customers (name, email, ssn, city) VALUES ('x', 'a***@e***.example', '1', 'x')",
        "COPY customers (id, name, email, ssn, city) FROM STDIN",
        "PREPARE p AS UPDATE customers SET ssn = '***1234' WHERE id = 1",
    ] {
        assert_eq!(sqlstate(&raw.query(text)), "42501", "{text}");
    }
    raw.query("PREPARE p (text) AS UPDATE customers SET ssn = $1 WHERE id = 1");
    assert_eq!(sqlstate(&raw.query(&format!("EXECUTE p ('{ssn}')"))), "42501");
    assert_eq!(gate.shop.sql("SELECT md5(string_agg(c::text, '' ORDER BY id)) FROM customers c"), before);
    // Values that nobody was shown, and columns that are not masked, are stored as ever.
    for text in [
        "UPDATE customers SET ssn = '078-05-1120', birth_date = '1961-05-04' WHERE id = 1",
        "UPDATE customers SET city = '[redacted]' WHERE id = 1",
    ] {
        assert_eq!(sqlstate(&raw.query(text)), "", "{text}");
    }
    // Who sees values as they are may store whatever.
    let mut raw = gate.shop.bare().open();
    assert_eq!(sqlstate(&raw.query("UPDATE customers SET ssn = '***1234' WHERE id = 1")), "");
}
