//! `[mail]`: how mails leave, and from whom they come.

use std::{fmt, path::PathBuf};

use http::Uri;
use zeroize::Zeroizing;

use super::raw::{Findings, Item, Problem, Section};
use crate::domain::email::Email;

/// Settings of mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// How they leave.
    pub way: MailWay,
    /// From whom they come.
    pub from: Sender,
}

/// How mails leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailWay {
    /// Each becomes a file in this folder, for whoever delivers it.
    Folder(PathBuf),
    /// To a mail server.
    Smtp(Smtp),
}

/// A mail server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smtp {
    /// Its name or address, as its certificate has it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: SmtpTls,
    /// Who signs in to it; none: nobody.
    pub login: Option<Login>,
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// TLS from the first byte (`smtps://`).
    Wrapped,
    /// STARTTLS, or no mail.
    Required,
    /// STARTTLS where the server offers it. Whoever sits between can take the offer away.
    Opportunistic,
    /// None: for a server on this machine.
    None,
}

/// Name and password for a mail server; the password never prints and is wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: String,
    password: Zeroizing<String>,
}

impl Login {
    /// The password, for the mail server alone.
    pub fn reveal(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({}, ..)", self.user)
    }
}

/// Whom mails come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// What people see; none: the address.
    pub name: Option<String>,
    /// The address.
    pub address: Email,
}

impl Mail {
    /// None without the section: then nobody can be invited and nobody is told of keys that end.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let findings = section.findings();
        let named = ["url", "from"].map(|key| section.has(key));
        if named == [false; 2] {
            return None;
        }
        let way = section.need("url", URL, |item| way(item, findings));
        let from = section.need("from", r#""gate@example.com""#, sender);
        let way = way?;
        if let MailWay::Smtp(smtp) = &way {
            let local = ["127.0.0.1", "::1", "localhost"].contains(&smtp.host.as_str());
            if matches!(smtp.tls, SmtpTls::None | SmtpTls::Opportunistic) && !local {
                let text = "whoever sits between here and the mail server can read the links in invitations, and the \
                            password if there is one; tls=required prevents it";
                section.warn("url", text);
            }
        }
        Some(Self { way, from: from? })
    }
}

/// The refusals here never print the URL: it may hold a password.
fn way(item: &Item, findings: &Findings) -> Result<MailWay, Problem> {
    let text = item.text()?;
    if let Some(folder) = text.strip_prefix("file:") {
        return match folder {
            "" => Err("must name a folder after file:".to_owned()),
            folder if folder.contains('\0') => Err("is not a folder's name".to_owned()),
            folder => Ok(MailWay::Folder(findings.resolve(folder))),
        };
    }
    let wrapped = match text.split_once("://") {
        Some(("smtp", _)) => false,
        Some(("smtps", _)) => true,
        _ => return Err("must begin with smtp://, smtps:// or file:".to_owned()),
    };
    let uri: Uri = text.parse().map_err(|_| "is not a URL of a mail server".to_owned())?;
    let authority = uri.authority().ok_or_else(|| "must name a host".to_owned())?;
    if !matches!(uri.path(), "" | "/") || text.contains('#') {
        return Err("must not have a path".to_owned());
    }
    let host = authority.host();
    if host.is_empty() {
        return Err("must name a host".to_owned());
    }
    let local = ["127.0.0.1", "[::1]", "localhost"].contains(&host);
    let tls = match (wrapped, uri.query()) {
        (true, None) => SmtpTls::Wrapped,
        (true, Some(_)) => return Err("smtps:// takes no options".to_owned()),
        (false, None) if local => SmtpTls::None,
        (false, None | Some("tls=required")) => SmtpTls::Required,
        (false, Some("tls=opportunistic")) => SmtpTls::Opportunistic,
        (false, Some("tls=none")) => SmtpTls::None,
        (false, Some(_)) => {
            return Err("takes ?tls=required, ?tls=opportunistic or ?tls=none alone".to_owned());
        }
    };
    let login = match authority.as_str().rsplit_once('@') {
        None => None,
        Some((login, _)) => Some(self::login(login)?),
    };
    let port = match authority.port() {
        Some(port) => port.as_u16(),
        None if authority.as_str().ends_with(':') => return Err("ends without a port".to_owned()),
        None if wrapped => 465,
        None if local => 25,
        None => 587,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(MailWay::Smtp(Smtp { host, port, tls, login }))
}

fn login(text: &str) -> Result<Login, Problem> {
    let decoded = |part: &str| {
        decode(part).ok_or_else(|| "has a name or password that is not valid percent-encoding".to_owned())
    };
    let (user, password) =
        text.split_once(':').ok_or_else(|| "has a name but no password: user:password@host".to_owned())?;
    Ok(Login { user: decoded(user)?, password: Zeroizing::new(decoded(password)?) })
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            u8::try_from(digit()? * 16 + digit()?).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

/// `gate@example.com` or `Gate <gate@example.com>`.
fn sender(item: &Item) -> Result<Sender, Problem> {
    let text = item.text()?.trim();
    let wrong = || format!("{text:?} is not an address such as gate@example.com, or Gate <gate@example.com>");
    if text.chars().any(char::is_control) {
        return Err(wrong());
    }
    let (name, address) = match text.strip_suffix('>').and_then(|text| text.split_once('<')) {
        Some((name, address)) => (Some(name.trim().trim_matches('"').to_owned()), address),
        None => (None, text),
    };
    let name = name.filter(|name| !name.is_empty());
    Ok(Sender { name, address: address.parse().map_err(|_| wrong())? })
}

const URL: &str = r#""smtp://mail.example.com:587""#;
