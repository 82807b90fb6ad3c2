//! Pids that are nobody's in this job, as when they were kept from an earlier one: whoever asks for them is told so at once.

//= main: exits 0, out
//=     "not born: Unknown, Unknown, Lost(Unknown), Lost(Unknown)\n"
//=     "of another job: Unknown, Unknown, Lost(Unknown), Lost(Unknown)\n"
//=     "itself: true\n"

use deploy::*;

fn main() {
    init(Resources::default());
    let own = serde_json::to_string(&pid()).unwrap();
    let read = |text: &str| serde_json::from_str::<Pid>(text).unwrap();
    tell(
        "not born",
        read(&own.replace("\"number\":0", "\"number\":77777")),
    );
    tell("of another job", read("{\"job\":7,\"number\":0}"));
    println!("itself: {}", read(&own) == pid());
}

fn tell(who: &str, pid: Pid) {
    let (waited, killed) = (pid.wait().unwrap_err(), pid.kill().unwrap_err());
    let sender = Sender::<u8>::new(pid);
    let sent = sender.send(1).and_then(|()| sender.flush()).unwrap_err();
    let received = Receiver::<u8>::new(pid).recv().unwrap_err();
    println!("{who}: {waited:?}, {killed:?}, {sent:?}, {received:?}");
}
