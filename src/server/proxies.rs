//! Where a request really comes from: what a trusted proxy says of it counts, what anybody else says does not.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::{self, HeaderMap, HeaderName};
use ipnet::IpNet;

/// Longest chain of trusted proxies that is followed.
const HOPS_MAX: usize = 32;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Headers by which proxies, balancers and delivery networks tell for whom they ask; besides all `X-Forwarded-…` and
/// `X-Original-…`.
const SENT_ON: [&str; 13] = [
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "forwarded-for",
    "x-envoy-external-address",
    "x-azure-clientip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "fly-client-ip",
];
const SENT_ON_BEGINNINGS: [&str; 2] = ["x-forwarded-", "x-original-"];

/// True where a proxy says that it asks for somebody else, whoever the proxy is.
pub fn was_sent_on(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        let name = name.as_str();
        SENT_ON.contains(&name) || SENT_ON_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
    })
}

/// The proxies whose word about the caller's address is taken.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Trusts these networks.
    pub const fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address of the caller: the last hop that is not a trusted proxy.
    ///
    /// `X-Forwarded-For` and `Forwarded` are read from the right, and only while the one who wrote is trusted. What
    /// cannot be read ends the way there. Where a request has both headers and they do not agree, one of them was
    /// passed on unread: neither counts.
    pub fn caller(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if self.0.is_empty() || !self.trusts(peer) {
            return peer;
        }
        let plain = headers.contains_key(&X_FORWARDED_FOR).then(|| self.follow(peer, hops(headers)));
        let standard = headers.contains_key(header::FORWARDED).then(|| self.follow(peer, forwarded(headers)));
        match (plain, standard) {
            (Some(plain), Some(standard)) if plain != standard => peer,
            (plain, standard) => plain.or(standard).unwrap_or(peer),
        }
    }

    /// Follows hops, the nearest first, as far as the ones before them are trusted.
    fn follow(&self, peer: IpAddr, hops: Vec<Option<IpAddr>>) -> IpAddr {
        let mut current = peer;
        for hop in hops {
            match hop {
                Some(address) if self.trusts(current) => current = address.to_canonical(),
                _ => break,
            }
        }
        current
    }
}

/// The hops of `X-Forwarded-For`, the nearest first; `None` for what is no address.
fn hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let lines: Vec<Option<&str>> = headers.get_all(&X_FORWARDED_FOR).map(|line| line.to_str().ok()).collect();
    let mut hops = Vec::new();
    for line in lines.iter().rev() {
        match line {
            Some(line) => hops.extend(line.rsplit(',').take(HOPS_MAX).map(|hop| address(hop.trim()))),
            None => hops.push(None),
        }
    }
    hops.truncate(HOPS_MAX);
    hops
}

/// The hops of `Forwarded` (RFC 7239), the nearest first.
fn forwarded(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let lines: Vec<Option<&str>> = headers.get_all(header::FORWARDED).map(|line| line.to_str().ok()).collect();
    let mut hops = Vec::new();
    for line in lines.iter().rev() {
        match line.and_then(elements) {
            Some(elements) => hops.extend(elements.into_iter().rev()),
            None => hops.push(None),
        }
    }
    hops.truncate(HOPS_MAX);
    hops
}

/// The `for` of each element of a line of `Forwarded`; `None` where the line cannot be read.
fn elements(line: &str) -> Option<Vec<Option<IpAddr>>> {
    split_outside_quotes(line, ',')?
        .into_iter()
        .map(|element| {
            let mut named = None;
            for pair in split_outside_quotes(element, ';')? {
                let Some((name, value)) = pair.trim().split_once('=') else {
                    continue;
                };
                if name.trim().eq_ignore_ascii_case("for") && named.replace(value.trim()).is_some() {
                    return None;
                }
            }
            let unquoted =
                named.map(|value| value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value));
            Some(unquoted.and_then(address))
        })
        .collect()
}

/// Splits text at a character that does not stand in quotes; `None` where a quote stays open.
fn split_outside_quotes(text: &str, at: char) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if c == at && !quoted => {
                parts.push(&text[start..index]);
                start = index + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    if quoted { None } else { Some(parts) }
}

/// An address as proxies write it: IPv4 or IPv6, with or without brackets and port.
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(with_port) = text.parse::<SocketAddr>() {
        return Some(with_port.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::V6)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn caller(peer: &str, headers: &[(&str, &[u8])]) -> String {
        let networks = ["10.0.0.0/8", "127.0.0.1/32", "2001:db8::/32"].map(|network| network.parse().unwrap());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse().unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
        TrustedProxies::new(networks.to_vec()).caller(peer.parse().unwrap(), &map).to_string()
    }

    #[test]
    fn the_rightmost_hop_that_is_not_trusted_is_the_caller() {
        let through = |value: &str| caller("127.0.0.1", &[("x-forwarded-for", value.as_bytes())]);
        assert_eq!(through("203.0.113.9"), "203.0.113.9");
        assert_eq!(through("198.51.100.1, 203.0.113.9"), "203.0.113.9", "what the caller wrote himself");
        assert_eq!(through("198.51.100.1, 203.0.113.9, 10.1.2.3"), "203.0.113.9");
        assert_eq!(through("198.51.100.1,203.0.113.9,10.1.2.3,2001:db8::7"), "203.0.113.9");
        assert_eq!(through("10.1.2.3, 10.9.9.9"), "10.1.2.3", "nobody but trusted ones: the furthest");
    }

    #[test]
    fn several_lines_are_one_list() {
        let lines: &[(&str, &[u8])] =
            &[("x-forwarded-for", b"198.51.100.1"), ("x-forwarded-for", b"203.0.113.9, 10.0.0.1")];
        assert_eq!(caller("127.0.0.1", lines), "203.0.113.9");
        let lines: &[(&str, &[u8])] =
            &[("forwarded", b"for=198.51.100.1"), ("forwarded", b"for=203.0.113.9, for=10.0.0.1")];
        assert_eq!(caller("127.0.0.1", lines), "203.0.113.9");
    }

    #[test]
    fn nobody_else_is_believed() {
        assert_eq!(caller("203.0.113.9", &[("x-forwarded-for", b"198.51.100.1")]), "203.0.113.9");
        assert_eq!(caller("203.0.113.9", &[("forwarded", b"for=198.51.100.1")]), "203.0.113.9");
        assert_eq!(caller("127.0.0.1", &[("x-real-ip", b"198.51.100.1")]), "127.0.0.1");
        let nobody = TrustedProxies::default();
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR.clone(), HeaderValue::from_static("198.51.100.1"));
        assert_eq!(nobody.caller("127.0.0.1".parse().unwrap(), &headers).to_string(), "127.0.0.1");
    }

    #[test]
    fn addresses_come_in_every_form() {
        for (written, read) in [
            ("203.0.113.9:4711", "203.0.113.9"),
            ("2a00:1450::9", "2a00:1450::9"),
            ("[2a00:1450::9]", "2a00:1450::9"),
            ("[2a00:1450::9]:4711", "2a00:1450::9"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("2A00:1450:0:0::9", "2a00:1450::9"),
        ] {
            assert_eq!(caller("127.0.0.1", &[("x-forwarded-for", written.as_bytes())]), read);
            let quoted = format!("proto=https;For=\"{written}\";by=10.0.0.1");
            assert_eq!(caller("127.0.0.1", &[("forwarded", quoted.as_bytes())]), read);
        }
        assert_eq!(caller("::ffff:127.0.0.1", &[("x-forwarded-for", b"203.0.113.9")]), "203.0.113.9");
    }

    #[test]
    fn the_way_ends_at_what_cannot_be_read() {
        for garbage in
            ["", "unknown", "_hidden", "300.1.1.1", "203.0.113.9 evil", "[::1", "::1]:x", "1.2.3.4:99999999", "'"]
        {
            let list = format!("198.51.100.1, {garbage}, 10.1.2.3");
            assert_eq!(caller("127.0.0.1", &[("x-forwarded-for", list.as_bytes())]), "10.1.2.3", "{garbage}");
            let list = format!("for=198.51.100.1, for={garbage}, for=10.1.2.3");
            assert_eq!(caller("127.0.0.1", &[("forwarded", list.as_bytes())]), "10.1.2.3", "{garbage}");
        }
        assert_eq!(caller("127.0.0.1", &[("x-forwarded-for", b"203.0.113.9\xff")]), "127.0.0.1");
        assert_eq!(caller("127.0.0.1", &[("forwarded", b"for=\"203.0.113.9")]), "127.0.0.1");
        assert_eq!(caller("127.0.0.1", &[("forwarded", b"for=203.0.113.9;for=203.0.113.8")]), "127.0.0.1");
        assert_eq!(caller("127.0.0.1", &[("forwarded", b"proto=https")]), "127.0.0.1");
        assert_eq!(caller("127.0.0.1", &[("forwarded", b"for=\"203.0.113.9, for=10.0.0.1\"")]), "127.0.0.1");
    }

    #[test]
    fn two_headers_that_do_not_agree_count_as_none() {
        let both = |plain: &str, standard: &str| {
            caller("127.0.0.1", &[("x-forwarded-for", plain.as_bytes()), ("forwarded", standard.as_bytes())])
        };
        assert_eq!(both("203.0.113.9", "for=203.0.113.9"), "203.0.113.9");
        assert_eq!(both("203.0.113.9", "for=198.51.100.1"), "127.0.0.1");
        assert_eq!(both("203.0.113.9", "garbage"), "127.0.0.1");
    }

    #[test]
    fn a_chain_without_end_is_not_followed_without_end() {
        let list = vec!["10.0.0.1"; 5000].join(",");
        assert_eq!(caller("127.0.0.1", &[("x-forwarded-for", list.as_bytes())]), "10.0.0.1");
    }
}
