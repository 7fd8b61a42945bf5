//! A browser without eyes: it keeps cookies and fills in forms.

use std::{cell::RefCell, collections::BTreeMap, fs};

use crate::support::{program::Site, rawc::Response, request::Door, wait};

pub struct Visitor {
    door: Door,
    host: String,
    pub cookies: RefCell<BTreeMap<String, String>>,
}

impl Visitor {
    pub fn at(door: Door) -> Self {
        Self::asking_for(door, "gw")
    }

    pub fn asking_for(door: Door, host: &str) -> Self {
        Self { door, host: host.to_owned(), cookies: RefCell::default() }
    }

    pub fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], None)
    }

    /// Opens a page and sends its form, with what is hidden in it and these fields.
    pub fn submit(&self, page: &str, fields: &[(&str, &str)]) -> Response {
        let html = self.get(page).text();
        let action = attribute(&html, "<form ", "action").expect("a form");
        let mut all: Vec<(String, String)> = hidden(&html);
        all.retain(|(name, _)| fields.iter().all(|(given, _)| given != name));
        all.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let pairs: Vec<(&str, &str)> =
            all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.post(&action, &[], &pairs)
    }

    /// Sends a form as it stands.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Response {
        self.send("POST", path, headers, Some(&encoded(fields)))
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Response {
        let mut request = self.door.anonymous().request(method, path).host(&self.host);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("accept")) {
            request = request.header("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        }
        let cookies: Vec<String> =
            self.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request = request.header("Cookie", &cookies.join("; "));
        }
        if body.is_some() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            request = request.header("Content-Type", "application/x-www-form-urlencoded");
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = match body {
            Some(body) => request.body(body).send(),
            None => request.send(),
        };
        for line in answer.fields.all("set-cookie") {
            let (name, rest) = line.split_once('=').expect("a cookie");
            let value = rest.split(';').next().unwrap_or_default();
            if line.contains("Max-Age=0") {
                self.cookies.borrow_mut().remove(name);
            } else {
                self.cookies.borrow_mut().insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    pub fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.borrow().get(name).cloned()
    }
}

/// What is hidden in the forms of a page.
pub fn hidden(html: &str) -> Vec<(String, String)> {
    let inputs = html.split("<input ").skip(1).filter_map(|rest| rest.split('>').next());
    let hidden = inputs.filter(|input| input.contains("type=\"hidden\""));
    hidden
        .map(|input| {
            let part =
                |name: &str| attribute(&format!("<input {input}>"), "<input ", name).unwrap_or_default();
            (part("name"), unescaped(&part("value")))
        })
        .collect()
}

fn attribute(html: &str, tag: &str, name: &str) -> Option<String> {
    let (_, rest) = html.split_once(tag)?;
    let tag = rest.split('>').next()?;
    let (_, value) = tag.split_once(&format!("{name}=\""))?;
    value.split('"').next().map(str::to_owned)
}

fn unescaped(text: &str) -> String {
    text.replace("&#38;", "&")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
}

pub fn encoded(fields: &[(&str, &str)]) -> String {
    let escape = |text: &str| {
        text.bytes().fold(String::new(), |mut out, byte| {
            if byte.is_ascii_alphanumeric() {
                out.push(char::from(byte));
            } else {
                out += &format!("%{byte:02X}");
            }
            out
        })
    };
    let pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    pairs.join("&")
}

/// The path of the link in the newest mail to this address, once it is there.
pub fn mailed(site: &Site, email: &str) -> String {
    wait::for_some(&format!("a mail to {email}"), || {
        let mut mails: Vec<_> =
            fs::read_dir(site.path("outbox")).ok()?.flatten().map(|mail| mail.path()).collect();
        mails.sort_by_key(|mail| fs::metadata(mail).and_then(|about| about.modified()).ok());
        let newest = mails.iter().rev().filter_map(|mail| fs::read_to_string(mail).ok());
        let mut to_them = newest.filter(|mail| mail.contains(&format!("To: {email}")));
        let text = to_them.next()?.replace("=\r\n", "").replace("=3D", "=");
        let (_, rest) = text.split_once("/.latchgate/invitations/accept?token=")?;
        let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        Some(format!(
            "/.latchgate/invitations/accept?token={}",
            rest.chars().take_while(plain).collect::<String>()
        ))
    })
}
