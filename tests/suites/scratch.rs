use std::time::Duration;
use handler_host_tests::*;
#[tokio::test]
async fn operator_works() {
    let cp = ControlPlane::shared().await;
    let ns = Namespace::create(cp, "op").await;
    let mut op = Operator::of(cp, Identity::Host).module("/m.wasm").namespace(&ns.name).env("X", "1").start();
    println!("{}", op.wait_for_line("started", Duration::from_secs(5)).await);
    println!("{:?}", op.wait_for_lines("tick", 3, Duration::from_secs(5)).await);
    println!("{:?} {}", op.usage(), op.pid());
    println!("{:?} {:?}", op.terminate().await, op.lines());
    let mut op = Operator::of(cp, Identity::Nobody).start();
    op.kill().await;
    println!("{:?}", handler_host(["render", "-f"]).await);
    println!("{:?}", handler_host::handler_host_with(["render", "-f"], &[], "in").await);
}
#[tokio::test]
async fn op_fails() {
    let cp = ControlPlane::shared().await;
    let mut op = Operator::of(cp, Identity::Nobody).start();
    op.wait_for_line("never", Duration::from_millis(300)).await;
}
#[tokio::test]
async fn op_ends() {
    let cp = ControlPlane::shared().await;
    let mut op = Operator::of(cp, Identity::Nobody).start();
    op.wait_for_line("tick", Duration::from_millis(3000)).await;
    child::signal(op.pid(), rustix::process::Signal::KILL);
    op.wait_for_line("never", Duration::from_millis(3000)).await;
}
