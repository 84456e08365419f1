//! TLS: ports, certificates and what clients must show.

macro_rules! tls_rows {
    ($next:ident $($more:ident)*; $($rows:tt)*) => { $next! { $($more)*; $($rows)*
        /// Port for TLS; 0 for none.
        tls_port: u16 = 0, "tls-port", Int(0..=65_535), [mutable];
        /// TLS on the cluster's bus.
        tls_cluster: bool = false, "tls-cluster", YesNo, [mutable no_effect];
        /// TLS to the primary.
        tls_replication: bool = false, "tls-replication", YesNo, [mutable];
        /// Whether clients must show a certificate.
        tls_auth_clients: TlsAuthClients = TlsAuthClients::Yes, "tls-auth-clients", OneOf,
            [mutable];
        /// Certificate.
        tls_cert_file: String = String::new(), "tls-cert-file", OptionalText,
            [mutable];
        /// Key of the certificate.
        tls_key_file: String = String::new(), "tls-key-file", OptionalText, [mutable];
        /// Password of the key.
        tls_key_file_pass: String = String::new(), "tls-key-file-pass", OptionalText,
            [mutable sensitive];
        /// Certificate for connections that this server opens.
        tls_client_cert_file: String = String::new(), "tls-client-cert-file", OptionalText,
            [mutable];
        /// Key of that certificate.
        tls_client_key_file: String = String::new(), "tls-client-key-file", OptionalText,
            [mutable];
        /// Password of that key.
        tls_client_key_file_pass: String = String::new(), "tls-client-key-file-pass",
            OptionalText, [mutable sensitive];
        /// Diffie-Hellman parameters.
        tls_dh_params_file: String = String::new(), "tls-dh-params-file", OptionalText,
            [mutable no_effect];
        /// Certificates of the authorities to trust.
        tls_ca_cert_file: String = String::new(), "tls-ca-cert-file", OptionalText,
            [mutable];
        /// Directory with such certificates.
        tls_ca_cert_dir: String = String::new(), "tls-ca-cert-dir", OptionalText,
            [mutable];
        /// Versions of TLS to speak.
        tls_protocols: String = String::new(), "tls-protocols", OptionalText,
            [mutable];
        /// Ciphers up to TLS 1.2.
        tls_ciphers: String = String::new(), "tls-ciphers", OptionalText, [mutable];
        /// Ciphers of TLS 1.3.
        tls_ciphersuites: String = String::new(), "tls-ciphersuites", OptionalText,
            [mutable];
        /// The server's order of ciphers counts.
        tls_prefer_server_ciphers: bool = false, "tls-prefer-server-ciphers", YesNo,
            [mutable];
        /// Sessions may be resumed.
        tls_session_caching: bool = true, "tls-session-caching", YesNo, [mutable];
        /// Sessions that are kept; 0: no limit.
        tls_session_cache_size: u32 = 20_480, "tls-session-cache-size", Int(0..=INT_MAX),
            [mutable];
        /// Seconds that a session is kept.
        tls_session_cache_timeout_s: u32 = 300, "tls-session-cache-timeout", Int(0..=INT_MAX),
            [mutable];
    } };
}
