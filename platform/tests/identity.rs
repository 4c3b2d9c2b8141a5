//! Ids are written and read alike: as text, by serde, as bits.

use liferaft_platform::{ClusterId, ParseIdError, ServerId};

#[test]
fn an_id_is_read_back_from_what_it_is_written_as() {
    let drawn = u128::MAX >> 8;
    let ids = [0, 1, 0x10, u64::MAX.into(), drawn, u128::MAX].map(ServerId);

    let texts = ids.map(|id| format!("{id:?}"));

    let longest = "0xffffffffffffffffffffffffffffffff";
    let drawn = "0x00ffffffffffffffffffffffffffffff";
    let half = "0xffffffffffffffff";
    assert_eq!(texts, ["0x0", "0x1", "0x10", half, drawn, longest]);
    assert_eq!(texts.map(|text| text.parse()), ids.map(Ok));
    assert_eq!("0x00AbC".parse(), Ok(ClusterId(0xabc)));
    assert_eq!(ClusterId(u128::MAX).to_string(), longest);
}

#[test]
fn a_long_id_is_shown_to_people_by_its_first_eight_digits() {
    let drawn = 0x0dea_dbee << 96;
    let ids = [0, 0x1f, 0xdead_beef, 0x1_dead_beef, drawn].map(ServerId);

    let shown = ids.map(|id| id.to_string());

    let long = ["0x1deadbee…", "0x0deadbee…"];
    assert_eq!(shown, ["0x0", "0x1f", "0xdeadbeef", long[0], long[1]]);
    assert_eq!(ClusterId(drawn).short().to_string(), long[1]);
}

#[test]
fn no_decimal_number_is_read_as_an_id() {
    let refused = ["10", "1f", "", "0X1f", " 0x1f", "ServerId(1)"];

    let read = refused.map(str::parse::<ServerId>);

    assert_eq!(read, [const { Err(ParseIdError::NoPrefix) }; 6]);
}

#[test]
fn a_text_that_is_no_id_is_told_what_is_wrong_with_it() {
    let texts = [
        "31",
        "0x",
        "0x1é",
        "0x+1",
        "0x000000000000000000000000000000001",
    ];

    let told = texts.map(|text| text.parse::<ServerId>().unwrap_err().to_string());

    assert_eq!(
        told,
        [
            "an id begins with 0x, as in 0x1f",
            "an id has 1 to 32 digits after 0x, not 0",
            "'é' at byte 3 of an id is not a hexadecimal digit",
            "'+' at byte 2 of an id is not a hexadecimal digit",
            "an id has 1 to 32 digits after 0x, not 33",
        ]
    );
}

#[test]
fn an_id_becomes_its_bits_and_comes_of_them() {
    let server = ServerId::from(7);

    assert_eq!(u128::from(server), 7);
    assert_eq!(u128::from(ClusterId::from(9)), 9);
}

#[test]
fn drawn_ids_differ() {
    assert_ne!(ServerId::random(), ServerId::random());
    assert_ne!(ClusterId::random(), ClusterId::random());
}

#[test]
fn serde_carries_ids_as_text_where_people_read() {
    let (server, cluster) = (ServerId(u128::MAX), ClusterId(0x1f));

    let json = serde_json::to_string(&(server, cluster)).unwrap();

    assert_eq!(json, r#"["0xffffffffffffffffffffffffffffffff","0x1f"]"#);
    assert_eq!(
        serde_json::from_str::<(ServerId, ClusterId)>(&json).unwrap(),
        (server, cluster)
    );
    let refused = serde_json::from_str::<ServerId>("\"31\"").unwrap_err();
    assert_eq!(
        refused.to_string(),
        "an id begins with 0x, as in 0x1f at line 1 column 4"
    );
    assert!(serde_json::from_str::<ServerId>("31").is_err());
}

#[test]
fn serde_carries_ids_as_bits_where_programs_read() {
    let server = ServerId(0x1f);

    let bytes = postcard::to_allocvec(&server).unwrap();

    assert_eq!(bytes, postcard::to_allocvec(&0x1f_u128).unwrap());
    assert_eq!(postcard::from_bytes::<ServerId>(&bytes).unwrap(), server);
}
