//! What etcd and kube-apiserver are started with.

use std::path::Path;

/// Of an etcd with one member, which keeps its data in `directory`.
pub fn etcd_flags(directory: &Path, clients: u16, peers: u16) -> Vec<String> {
    vec![
        format!("--data-dir={}/etcd", directory.display()),
        "--unsafe-no-fsync".to_owned(),
        // Benchmarks write more between two compactions than etcd allows by itself.
        "--quota-backend-bytes=8589934592".to_owned(),
        format!("--listen-client-urls=http://127.0.0.1:{clients}"),
        format!("--advertise-client-urls=http://127.0.0.1:{clients}"),
        format!("--listen-peer-urls=http://127.0.0.1:{peers}"),
        format!("--initial-advertise-peer-urls=http://127.0.0.1:{peers}"),
        format!("--initial-cluster=default=http://127.0.0.1:{peers}"),
    ]
}

/// Of an API server that has its keys and its policies in `directory`.
pub fn apiserver_flags(directory: &Path, etcd: &str, secure: u16) -> Vec<String> {
    let directory = directory.display();
    vec![
        format!("--etcd-servers={etcd}"),
        format!("--secure-port={secure}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        format!("--cert-dir={directory}/pki"),
        format!("--token-auth-file={directory}/tokens.csv"),
        format!("--audit-policy-file={directory}/audit.yaml"),
        format!("--audit-log-path={directory}/audit.log"),
        // Readers follow one file: it is never put aside.
        "--audit-log-maxsize=0".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={directory}/pki/sa.key"),
        format!("--service-account-signing-key-file={directory}/pki/sa.key"),
    ]
}
