//! What the container learns of TLS, with real mod_ssl and a client that has a certificate.
//!
//! Not here: the variables themselves, their renaming and odd values (`fields.rs`). The surprising thing: what must be sent is read
//! from mod_ssl by way of mod_headers, in the response to the same request, so nothing here is computed the way the module does.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, StreamOwned, SupportedProtocolVersion};

use crate::support::backend::{Backend, text};
use crate::support::httpd::{Builder, Httpd};
use crate::support::tomcat_server::{Pattern, TomcatServer};

/// Certificates of a client: its own, issued by an intermediate authority, issued by a root.
struct Identity {
    root_pem: String,
    intermediate: rcgen::Certificate,
    leaf: rcgen::Certificate,
    key: KeyPair,
}

impl Identity {
    fn new() -> Identity {
        let authority = |name: &str| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            (params, KeyPair::generate().unwrap())
        };
        let (root_params, root_key) = authority("Root of the tests");
        let root = root_params.self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(root_params, root_key);
        let (middle_params, middle_key) = authority("Intermediate of the tests");
        let intermediate = middle_params.signed_by(&middle_key, &root_issuer).unwrap();
        let middle_issuer = Issuer::new(middle_params, middle_key);
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "anna");
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &middle_issuer).unwrap();
        Identity { root_pem: root.pem(), intermediate, leaf, key }
    }

    /// How the client shows itself: certificate first, then what leads to the root.
    fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.leaf.der().clone(), self.intermediate.der().clone()]
    }
}

/// The server's own certificate is not what is tested here.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A TLS client that speaks `version` alone, with the certificates of `identity` if there is one.
fn client(identity: Option<&Identity>, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[version]).unwrap();
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(provider)));
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.key.serialize_der()));
            builder.with_client_auth_cert(identity.chain(), key).unwrap()
        }
    };
    Arc::new(config)
}

/// Asks for `target` over a new connection and returns the response as text.
#[track_caller]
fn ask(httpd: &Httpd, config: &Arc<ClientConfig>, target: &str) -> String {
    send(httpd, config, &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"), b"")
}

/// Sends `head` and `body` over a new connection and returns the response as text.
#[track_caller]
fn send(httpd: &Httpd, config: &Arc<ClientConfig>, head: &str, body: &[u8]) -> String {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = rustls::ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(httpd.address()).unwrap());
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).unwrap();
    let response = text(&response);
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    response
}

/// What mod_ssl itself says in the response header `X-<name>`; mod_headers writes `(null)` for what is not there.
#[track_caller]
fn said(response: &str, name: &str) -> Option<String> {
    let value = response.lines().find_map(|line| line.strip_prefix(&format!("X-{name}: ")));
    Some(value.unwrap_or_else(|| panic!("no X-{name} in {response}")).to_owned()).filter(|value| value != "(null)")
}

/// mod_ssl with a certificate of its own, asking clients for theirs; its facts go into response headers as well.
fn with_tls(builder: Builder, identity: &Identity, directives: &str) -> Builder {
    let server_key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&server_key).unwrap();
    let facts = ["SSL_CIPHER", "SSL_CIPHER_USEKEYSIZE", "SSL_SESSION_ID", "SSL_PROTOCOL", "SSL_CLIENT_S_DN_CN"];
    let headers: String = facts.iter().map(|name| format!("Header always set X-{name} %{{{name}}}s\n")).collect();
    builder
        .load("mod_socache_shmcb")
        .load("mod_ssl")
        .file("server.pem", server.pem())
        .file("server.key", server_key.serialize_pem())
        .file("root.pem", &identity.root_pem)
        .config(&format!(
            "SSLEngine on\nSSLCertificateFile ${{ROOT}}/server.pem\nSSLCertificateKeyFile ${{ROOT}}/server.key\n\
             SSLCACertificateFile ${{ROOT}}/root.pem\nSSLVerifyClient optional\nSSLVerifyDepth 3\n\
             SSLSessionCache shmcb:${{ROOT}}/run/ssl(512000)\nSSLSessionTickets off\n{headers}{directives}"
        ))
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

#[test]
fn container_gets_what_mod_ssl_knows_of_the_connection() {
    let (backend, identity) = (Backend::echo(), Identity::new());
    let httpd = with_tls(backend.httpd(), &identity, "SSLOptions +StdEnvVars +ExportCertData\n").start();
    for version in VERSIONS {
        let client = client(Some(&identity), version);
        for visit in ["new session", "resumed session"] {
            let response = ask(&httpd, &client, "/");
            let seen = backend.last();
            let request = &seen.request;
            let fact = |name: &str| said(&response, name);
            let what = format!("{version:?}, {visit}");
            assert!(request.is_ssl, "{what}");
            let protocol = if *version == rustls::version::TLS12 { "TLSv1.2" } else { "TLSv1.3" };
            assert_eq!(seen.attribute("AJP_SSL_PROTOCOL").as_deref(), Some(protocol), "{what}");
            assert_eq!(fact("SSL_PROTOCOL").as_deref(), Some(protocol), "{what}");
            assert!(request.ssl_cipher.is_some(), "{what}");
            assert_eq!(request.ssl_cipher.as_deref().map(text), fact("SSL_CIPHER"), "{what}");
            assert_eq!(request.ssl_key_size.map(|bits| bits.to_string()), fact("SSL_CIPHER_USEKEYSIZE"), "{what}");
            assert!(request.ssl_key_size.is_some_and(|bits| bits >= 128), "{what}");
            assert_eq!(request.ssl_session.as_deref().map(text), fact("SSL_SESSION_ID"), "{what}");
            // Without the chain option the client's own certificate alone, as PEM.
            assert_eq!(
                pem_bodies(request.ssl_cert.as_deref()),
                pem_bodies(Some(identity.leaf.pem().as_bytes())),
                "{what}"
            );
            assert_eq!(fact("SSL_CLIENT_S_DN_CN").as_deref(), Some("anna"), "{what}");
        }
    }
}

#[test]
fn uploads_over_tls_arrive_unchanged() {
    let (backend, identity) = (Backend::echo(), Identity::new());
    let httpd = with_tls(backend.httpd(), &identity, "").start();
    for version in VERSIONS {
        for length in [8_192, 70_000, 300_000] {
            let head =
                format!("POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            send(&httpd, &client(None, version), &head, &Pattern::bytes(length));
            assert_eq!(backend.last().body.len(), length);
            Pattern::new().assert_next(&backend.last().body);
        }
    }
}

/// The base64 text of each certificate, whatever the length of its lines.
fn pem_bodies(pem: Option<&[u8]>) -> Vec<String> {
    let pem = text(pem.unwrap_or_default());
    let parts = pem.split("-----BEGIN CERTIFICATE-----").skip(1);
    parts.map(|part| part.split("-----END").next().unwrap().split_whitespace().collect()).collect()
}

#[test]
fn sessions_of_tls_keep_their_id_when_they_are_resumed() {
    let (backend, identity) = (Backend::echo(), Identity::new());
    let httpd = with_tls(backend.httpd(), &identity, "SSLOptions +StdEnvVars\n").start();
    let client = client(Some(&identity), &rustls::version::TLS12);
    let session = || {
        ask(&httpd, &client, "/");
        backend.last().request.ssl_session.unwrap()
    };
    let first = session();
    assert!(!first.is_empty() && first.iter().all(u8::is_ascii_hexdigit), "{}", text(&first));
    assert_eq!(text(&session()), text(&first));
}

#[test]
fn certificate_chain_follows_the_certificate_when_asked_for() {
    let (backend, identity) = (Backend::echo(), Identity::new());
    let config = "SSLOptions +StdEnvVars +ExportCertData\nJkOptions +ForwardSSLCertChain\n";
    let httpd = with_tls(backend.httpd(), &identity, config).start();
    for version in VERSIONS {
        ask(&httpd, &client(Some(&identity), version), "/");
        let chain = identity.leaf.pem() + &identity.intermediate.pem();
        let sent = backend.last().request.ssl_cert;
        // mod_ssl exports what the client showed after its own certificate; no more may come and none twice.
        assert_eq!(pem_bodies(sent.as_deref()), pem_bodies(Some(chain.as_bytes())), "{version:?}");
    }
}

#[test]
fn clients_without_a_certificate_have_none_and_their_cipher_is_still_told() {
    let (backend, identity) = (Backend::echo(), Identity::new());
    let config = "SSLOptions +StdEnvVars +ExportCertData\nJkOptions +ForwardSSLCertChain\n";
    let httpd = with_tls(backend.httpd(), &identity, config).start();
    for version in VERSIONS {
        let response = ask(&httpd, &client(None, version), "/");
        let request = backend.last().request;
        assert!(request.is_ssl, "{version:?}");
        assert_eq!(request.ssl_cert, None, "{version:?}");
        assert_eq!(request.ssl_cipher.as_deref().map(text), said(&response, "SSL_CIPHER"), "{version:?}");
    }
}

#[test]
fn https_alone_is_told_when_mod_ssl_exports_nothing_else() {
    let (backend, identity) = (Backend::echo(), Identity::new());
    let httpd = with_tls(backend.httpd(), &identity, "").start();
    ask(&httpd, &client(Some(&identity), &rustls::version::TLS13), "/");
    let seen = backend.last();
    let request = &seen.request;
    assert!(request.is_ssl);
    assert_eq!((&request.ssl_cert, &request.ssl_cipher, &request.ssl_session), (&None, &None, &None));
    assert_eq!((request.ssl_key_size, seen.attribute("AJP_SSL_PROTOCOL")), (None, None));
}

#[test]
fn extraction_switched_off_leaves_the_connection_plain() {
    let (backend, identity) = (Backend::echo(), Identity::new());
    let config = "SSLOptions +StdEnvVars +ExportCertData\nJkExtractSSL Off\n";
    let httpd = with_tls(backend.httpd(), &identity, config).start();
    ask(&httpd, &client(Some(&identity), &rustls::version::TLS13), "/");
    let seen = backend.last();
    assert!(!seen.request.is_ssl);
    assert_eq!((seen.request.ssl_cert.as_ref(), seen.request.ssl_key_size), (None, None));
}

#[test]
fn tomcat_hands_the_certificates_to_the_application() {
    let (identity, tomcat) = (Identity::new(), TomcatServer::shared(1));
    let workers = format!("worker.list=tomcat1\n{}", tomcat.worker());
    let config = "JkMount /* tomcat1\nSSLOptions +StdEnvVars +ExportCertData\nJkOptions +ForwardSSLCertChain\n";
    let httpd = with_tls(Httpd::builder().workers(&workers), &identity, config).start();
    for version in VERSIONS {
        let response = ask(&httpd, &client(Some(&identity), version), "/tls.jsp");
        let fact =
            |name: &str| response.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).map(str::to_owned);
        assert_eq!(
            (fact("secure").as_deref(), fact("scheme").as_deref()),
            (Some("true"), Some("https")),
            "{version:?}"
        );
        assert_eq!(fact("cipher_suite"), said(&response, "SSL_CIPHER"), "{version:?}");
        assert_eq!(fact("key_size"), said(&response, "SSL_CIPHER_USEKEYSIZE"), "{version:?}");
        assert_eq!(fact("session_id"), said(&response, "SSL_SESSION_ID"), "{version:?}");
        assert_eq!(fact("protocol"), said(&response, "SSL_PROTOCOL"), "{version:?}");
        let subjects: Vec<&str> = response.lines().filter_map(|line| line.strip_prefix("certificate=")).collect();
        assert_eq!(subjects.len(), 2, "{response}");
        assert!(
            subjects[0].contains("CN=anna") && subjects[1].contains("CN=Intermediate of the tests"),
            "{subjects:?}"
        );
    }
}
