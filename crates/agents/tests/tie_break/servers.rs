//! The object store and the gateway of etcd that a lab has, as places of a tie-break.

use heart_lab::{Conditions, EtcdGateway, ObjectStore};
use heart_model::{Standing, TieBreakPlace};

/// An object store.
pub(crate) struct Store(ObjectStore);

const OBJECT: &str = "/bucket/web%3A1";

impl Store {
    pub(crate) fn start(conditions: Conditions) -> Store {
        Store(ObjectStore::start(conditions).unwrap())
    }

    pub(crate) fn place(&self, secret_file: Option<&str>) -> TieBreakPlace {
        TieBreakPlace::Object {
            url: format!("http://{}/bucket/web:1", self.0.address()),
            access_key: secret_file.map(|_| "heart".into()),
            secret_file: secret_file.map(str::to_owned),
            region: "us-east-1".into(),
        }
    }

    pub(crate) fn put(&self, bytes: &[u8]) {
        self.0.put(OBJECT, bytes);
    }

    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        self.0.bytes(OBJECT)
    }

    pub(crate) fn value(&self) -> Option<Standing> {
        self.bytes().map(|bytes| serde_json::from_slice(&bytes).unwrap())
    }

    pub(crate) fn authorizations(&self) -> Vec<String> {
        self.0.authorizations()
    }
}

/// The gateway of an etcd with room for one key.
pub(crate) struct Gateway(EtcdGateway);

impl Gateway {
    pub(crate) fn start() -> Gateway {
        Gateway(EtcdGateway::start().unwrap())
    }

    /// Behind these members.
    pub(crate) fn place(&self, before: &[&str]) -> TieBreakPlace {
        let mut endpoints: Vec<String> = before.iter().map(|&endpoint| endpoint.to_owned()).collect();
        endpoints.push(format!("http://{}", self.0.address()));
        TieBreakPlace::Etcd { endpoints, key: "heart/web".into() }
    }
}
