//! Why a handshake failed, in words for whoever has to mend it. rustls has its own names for most of it.

use std::{error::Error, io};

use rustls::{AlertDescription, CertificateError, Error as TlsError};

/// What this error says of TLS, if it does, from the side of whoever connects. An error may be wrapped as one of reading
/// and writing.
pub fn in_words(error: &(dyn Error + 'static)) -> Option<String> {
    let inner = match error.downcast_ref::<io::Error>() {
        Some(error) => error.get_ref()?.downcast_ref::<TlsError>(),
        None => error.downcast_ref::<TlsError>(),
    };
    inner.map(words)
}

fn words(error: &TlsError) -> String {
    match error {
        TlsError::InvalidCertificate(cause) => certificate(cause),
        TlsError::AlertReceived(alert) => format!("the server broke it off: {}", said(*alert)),
        TlsError::InvalidMessage(_) => {
            "the server does not speak TLS on this port (corrupt message)".to_owned()
        }
        TlsError::PeerIncompatible(_) => {
            "the server has no version or cipher of TLS that is taken here".to_owned()
        }
        TlsError::NoCertificatesPresented => "the server shows no certificate".to_owned(),
        other => other.to_string(),
    }
}

fn certificate(cause: &CertificateError) -> String {
    let what = match cause {
        CertificateError::UnknownIssuer => "is of an issuer that is not trusted here",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "is not valid yet",
        CertificateError::NotValidForName => "is for other names",
        CertificateError::NotValidForNameContext { expected, .. } => {
            return format!("the server's certificate is not valid for name \"{}\"", expected.to_str());
        }
        CertificateError::Revoked => "was revoked",
        CertificateError::BadSignature => "is not signed by its issuer",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not one for servers"
        }
        CertificateError::BadEncoding => "cannot be read",
        other => return format!("the server's certificate is refused: {other}"),
    };
    format!("the server's certificate {what}")
}

fn said(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => "it asks for a certificate of the client".to_owned(),
        AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion => {
            "no version or cipher of TLS in common".to_owned()
        }
        AlertDescription::UnrecognisedName => "it does not know this name".to_owned(),
        AlertDescription::NoApplicationProtocol => "no protocol in common (ALPN)".to_owned(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_found_where_it_is_wrapped() {
        let cause = || TlsError::InvalidCertificate(CertificateError::UnknownIssuer);
        let expected = Some("the server's certificate is of an issuer that is not trusted here".to_owned());
        assert_eq!(in_words(&cause()), expected);
        assert_eq!(in_words(&io::Error::new(io::ErrorKind::InvalidData, cause())), expected);
        assert_eq!(in_words(&io::Error::other("x")), None);
        assert_eq!(in_words(&std::fmt::Error), None);
        let broken = TlsError::AlertReceived(AlertDescription::CertificateRequired);
        assert!(in_words(&broken).is_some_and(|words| words.ends_with("a certificate of the client")));
    }
}
