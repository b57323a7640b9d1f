//! The operator at work: servers, the controller's program and the stand-in for kubelets.

use std::path::PathBuf;
use std::sync::Arc;

use kube::Client;
use tokio::task::JoinHandle;

use super::api_server::{ApiServer, NAMESPACE};
use super::controller::Controller;
use super::kubelet::{self, Electors};
use super::requests::Requests;

/// On servers of its own.
pub struct Installation {
    /// The controller that runs. It ends before the servers.
    pub controller: Controller,
    /// The servers.
    pub server: Arc<ApiServer>,
    kubeconfig: PathBuf,
    log: PathBuf,
    kubelet: JoinHandle<()>,
}

impl Installation {
    /// Starts servers with these namespaces and a controller, and waits until it is ready.
    pub async fn start(namespaces: &[String], electors: Electors) -> Self {
        let server = Arc::new(ApiServer::start(namespaces).await);
        let kubeconfig = server.control_plane.kubeconfig_with_token(&server.controllers_token().await);
        let log = std::env::temp_dir().join("singletonjob-bench-controller.log");
        let controller = Controller::start(&kubeconfig, &log);
        controller.ready().await;
        let kubelet = tokio::spawn(kubelet::serve(server.clone(), electors));
        Self { controller, server, kubeconfig, log, kubelet }
    }

    /// With all rights.
    pub fn client(&self) -> &Client {
        &self.server.client
    }

    /// Counts, from now on, what the controller asks, without its own Lease.
    pub fn count(&self) -> Requests {
        self.count_outside(&[])
    }

    /// The same, without these namespaces.
    pub fn count_outside(&self, namespaces: &[&'static str]) -> Requests {
        self.server.count(&[&[NAMESPACE], namespaces].concat())
    }

    /// Ends the controller as the kubelet does when its pod is replaced.
    pub async fn end_controller(&mut self) {
        self.controller.terminate().await;
    }

    /// Starts another controller.
    pub fn start_controller(&mut self) {
        self.controller = Controller::start(&self.kubeconfig, &self.log);
    }

    /// Ends everything, the servers too.
    pub async fn end(self) {
        self.kubelet.abort();
        // The servers end when nothing uses them any more.
        let _ = self.kubelet.await;
    }
}
