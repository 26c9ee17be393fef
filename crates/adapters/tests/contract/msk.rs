//! The login at Amazon MSK, at a broker that knows no more than a login and an empty topic.
//!
//! No real broker validates these tokens outside AWS; what they are is compared with AWS's own signer in `aws::msk`.

use adapters::topic::kafka::{KafkaSettings, KafkaTopics, Sasl};
use aws::credentials::{CredentialChain, Credentials};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use market::UnixNanos;
use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::{X509Builder, X509NameBuilder};
use ports::tls::{CertificateCheck, Tls};
use ports::topic::{Names, Topics};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG";
/// Life of the credentials, and so of tokens.
const LIFE_S: i64 = 5;
/// After this a broker wants a new login, milliseconds.
const SESSION_MS: i64 = 4_900;

/// An endpoint of a container's credentials, each valid for a few seconds from now.
fn issue_credentials() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request);
            let expires = UnixNanos(ports::clock::now().0 + LIFE_S * 1_000_000_000);
            let body = format!(
                r#"{{"AccessKeyId":"A","SecretAccessKey":"{SECRET_KEY}","Token":"T","Expiration":"{expires}"}}"#
            );
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    format!("http://{address}/role")
}

fn acceptor() -> SslAcceptor {
    let key = EcKey::generate(&EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap()).unwrap();
    let key = PKey::from_ec_key(key).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "localhost").unwrap();
    let name = name.build();
    let mut certificate = X509Builder::new().unwrap();
    certificate.set_version(2).unwrap();
    certificate.set_subject_name(&name).unwrap();
    certificate.set_issuer_name(&name).unwrap();
    certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate.sign(&key, MessageDigest::sha256()).unwrap();
    let mut acceptor = SslAcceptor::mozilla_intermediate(SslMethod::tls_server()).unwrap();
    acceptor.set_private_key(&key).unwrap();
    acceptor.set_certificate(&certificate.build()).unwrap();
    acceptor.build()
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

/// What the broker replies to a request of a kind and version, if it knows it.
fn reply(kind: i16, version: i16, port: u16, topic: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match kind {
        // ApiVersions: only version 0, in which a later one is refused too.
        18 => {
            out.extend(if version == 0 { 0_i16 } else { 35 }.to_be_bytes());
            let known: [[i16; 3]; 5] = [[3, 1, 1], [17, 0, 1], [18, 0, 0], [22, 0, 0], [36, 0, 1]];
            out.extend((known.len() as i32).to_be_bytes());
            out.extend(known.as_flattened().iter().flat_map(|number| number.to_be_bytes()));
        }
        // SaslHandshake
        17 => {
            out.extend(0_i16.to_be_bytes());
            out.extend(1_i32.to_be_bytes());
            out.extend(string("OAUTHBEARER"));
        }
        // SaslAuthenticate: no error, no text, no bytes, life of the session.
        36 => {
            out.extend(0_i16.to_be_bytes());
            out.extend((-1_i16).to_be_bytes());
            out.extend(0_i32.to_be_bytes());
            if version > 0 {
                out.extend(SESSION_MS.to_be_bytes());
            }
        }
        // Metadata: this broker, and a topic of one partition.
        3 => {
            out.extend(1_i32.to_be_bytes());
            out.extend(1_i32.to_be_bytes());
            out.extend(string("127.0.0.1"));
            out.extend(i32::from(port).to_be_bytes());
            out.extend((-1_i16).to_be_bytes());
            out.extend(1_i32.to_be_bytes());
            out.extend(1_i32.to_be_bytes());
            out.extend(0_i16.to_be_bytes());
            out.extend(string(topic));
            out.push(0);
            out.extend(1_i32.to_be_bytes());
            out.extend(0_i16.to_be_bytes());
            // Partition, leader, replicas, replicas in sync.
            for number in [0_i32, 1, 1, 1, 1, 1] {
                out.extend(number.to_be_bytes());
            }
        }
        // InitProducerId
        22 => {
            out.extend(0_i32.to_be_bytes());
            out.extend(0_i16.to_be_bytes());
            out.extend(1_000_i64.to_be_bytes());
            out.extend(0_i16.to_be_bytes());
        }
        _ => return None,
    }
    Some(out)
}

/// A broker that collects what clients log in with.
fn broker(topic: &str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (logins, topic, acceptor) = (Arc::<Mutex<Vec<String>>>::default(), topic.to_owned(), acceptor());
    let seen = Arc::clone(&logins);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (acceptor, seen, topic) = (acceptor.clone(), Arc::clone(&seen), topic.clone());
            std::thread::spawn(move || {
                let Ok(mut stream) = acceptor.accept(stream) else { return };
                let mut size = [0; 4];
                while stream.read_exact(&mut size).is_ok() {
                    let mut request = vec![0; u32::from_be_bytes(size) as usize];
                    stream.read_exact(&mut request).unwrap();
                    let short = |at: usize| i16::from_be_bytes(request[at..at + 2].try_into().unwrap());
                    let (kind, version) = (short(0), short(2));
                    let body = &request[10 + usize::try_from(short(8)).unwrap_or(0)..];
                    if kind == 36 {
                        seen.lock().unwrap().push(String::from_utf8(body[4..].to_vec()).unwrap());
                    }
                    let Some(reply) = reply(kind, version, port, &topic) else { return };
                    let mut out = (reply.len() as u32 + 4).to_be_bytes().to_vec();
                    out.extend(&request[4..8]);
                    out.extend(reply);
                    if stream.write_all(&out).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, logins)
}

/// When a login was signed; panics unless it is what a broker of MSK expects.
fn signed_at(login: &str) -> UnixNanos {
    let token = login.strip_prefix("n,,\u{1}auth=Bearer ").and_then(|rest| rest.strip_suffix("\u{1}\u{1}"));
    let token = token.unwrap_or_else(|| panic!("{login}"));
    let url = String::from_utf8(URL_SAFE_NO_PAD.decode(token).unwrap()).unwrap();
    let value = |name: &str| {
        let (_, rest) = url.split_once(&format!("{name}=")).unwrap_or_else(|| panic!("no {name} in {url}"));
        rest.split('&').next().unwrap().to_owned()
    };
    let (time, life) = (value("X-Amz-Date"), value("X-Amz-Expires").parse::<i64>().unwrap());
    assert!((1..=LIFE_S).contains(&life), "{life}");
    let part = |from: usize, to: usize| &time[from..to];
    let [year, month, day] = [part(0, 4), part(4, 6), part(6, 8)];
    let [hour, minute, second] = [part(9, 11), part(11, 13), part(13, 15)];
    let at = UnixNanos::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")).unwrap();
    let credentials = Credentials {
        access_key: "A".to_owned(),
        secret_key: SECRET_KEY.to_owned().into(),
        session_token: "T".to_owned().into(),
        expires: Some(UnixNanos(at.0 + life * 1_000_000_000)),
    };
    assert_eq!(aws::msk::token("eu-west-1", &credentials, at).unwrap().token.reveal(), token);
    at
}

/// A producer that has nothing to send stays logged in, with new tokens from new credentials.
#[test]
fn an_idle_client_logs_in_again_before_its_token_expires() {
    let names = Names::new("msk");
    let (port, logins) = broker(&names.positions());
    let settings = KafkaSettings {
        replication: 1,
        compression: "lz4".into(),
        linger: Duration::from_millis(1),
        instance: String::new(),
        session_timeout: Duration::from_secs(6),
        tls: Tls { enabled: true, verify: CertificateCheck::None, ..Tls::default() },
        sasl: Sasl { mechanism: "AWS_MSK_IAM".to_owned(), region: "eu-west-1".to_owned(), ..Sasl::default() },
        properties: std::collections::BTreeMap::new(),
    };
    let endpoint = issue_credentials();
    let credentials = CredentialChain::new(Box::new(move |name| {
        (name == "AWS_CONTAINER_CREDENTIALS_FULL_URI").then(|| endpoint.clone())
    }));
    let stop = ports::CancelToken::default();
    let topics = KafkaTopics::new(&format!("127.0.0.1:{port}"), settings, names.positions(), stop)
        .with_credentials(Arc::new(credentials));
    let mut producer = topics.producer().unwrap();
    let first = signed_at(logins.lock().unwrap().first().unwrap());
    let since = Instant::now();
    loop {
        producer.rest().unwrap();
        let last = signed_at(logins.lock().unwrap().last().unwrap());
        if last > first {
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(60), "no new login");
        std::thread::sleep(Duration::from_millis(20));
    }
}
