//! Where an upstream's answer ends: in the same place however its bytes arrive, and never where two readers might differ.

use latchgate::proxy::upstream::http1::Whole;

pub(super) fn run(data: &[u8]) {
    for to_head in [false, true] {
        let whole = Whole::read(data, usize::MAX, to_head);
        for piece in [1, 5, 100] {
            match (&whole, Whole::read(data, piece, to_head)) {
                (Ok(whole), Ok(pieces)) => {
                    assert_eq!(*whole, pieces, "an answer does not depend on its packets");
                }
                (whole, pieces) => assert!(whole.is_err() && pieces.is_err(), "{whole:?} is not {pieces:?}"),
            }
        }
        let Ok(whole) = whole else { continue };
        assert!(whole.body.len() + whole.surplus < data.len(), "nothing is read that was not sent");
        let has_none = to_head || matches!(whole.status, 101 | 204 | 304);
        assert!(!has_none || whole.body.is_empty(), "there is no body here");
        assert!(whole.surplus == 0 || !whole.keeps, "what says more than it should is not asked again");
        let all = |name: &str| whole.headers.get_all(name).iter().count();
        let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
        assert!(lengths + codings <= 1, "an answer has one length");
        if lengths == 1 && !has_none {
            let length = whole.headers["content-length"].to_str().ok().and_then(|length| length.parse().ok());
            assert_eq!(length, Some(whole.body.len()), "what it says is what it has");
        }
        assert!(whole.trailers.is_none() || codings == 1, "trailers are behind chunks");
    }
}
