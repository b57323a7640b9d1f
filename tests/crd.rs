//! What a real API server makes of the definition.

#[path = "support/control_plane.rs"]
mod control_plane;

use control_plane::ControlPlane;
#[test]
fn try_it() {
    let cp = ControlPlane::shared();
    let yaml = serde_saphyr::to_string(&singletonjob::api::schema::definition()).unwrap();
    for _ in 0..2 {
        let out = cp.kubectl(&["apply", "-f", "-"], &yaml);
        println!("{}\n{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    }
    std::thread::sleep(std::time::Duration::from_secs(3));
    let out = cp.kubectl(&["explain", "sj.spec"], "");
    println!("{}\n{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    let out = cp.kubectl(&["get", "crd", "-o", "jsonpath={.items[*].status}"], "");
    println!("{}\n{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
}
