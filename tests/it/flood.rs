//! Stopping in the middle of a flood.

use std::collections::BTreeSet;
use std::time::Duration;

use tests::Cantina;

/// Logs without end, and says how far it has come.
const FLOOD: &str = "
import logging, logging.handlers, sys
host, port = sys.argv[1].split(':')
logging.raiseExceptions = False
handler = logging.handlers.SocketHandler(host, int(port))
log = logging.getLogger('cantina_os.main')
log.setLevel(logging.INFO)
log.addHandler(handler)
n = 0
while True:
    n += 1
    log.info('line %d', n)
    if n % 1000 == 0:
        print(n, flush=True)
";

/// Sends frames that want acknowledgements, as fast as it goes, and prints
/// every acknowledgement.
const ACKNOWLEDGED_FLOOD: &str = "
import json, socket, struct, sys, threading
host, port = sys.argv[1].split(':')
s = socket.create_connection((host, int(port)))
def read():
    buffer = b''
    while True:
        try:
            data = s.recv(65536)
        except OSError:
            return
        if not data:
            return
        buffer += data
        while len(buffer) >= 4 and len(buffer) >= 4 + struct.unpack('>L', buffer[:4])[0]:
            n = struct.unpack('>L', buffer[:4])[0]
            frame, buffer = json.loads(buffer[4:4 + n]), buffer[4 + n:]
            if 'ack' in frame:
                print(frame['ack'], flush=True)
reader = threading.Thread(target=read)
reader.start()
n = 0
try:
    while True:
        batch = [{'message': 'line %d' % (n + i), 'level': 'INFO', 'logger': 'cantina_os.main',
                  'source_id': 'flood', 'seq': n + i} for i in range(1, 51)]
        n += 50
        payload = json.dumps(batch).encode()
        s.sendall(struct.pack('>L', len(payload)) + payload)
except OSError:
    pass
reader.join()
";

#[test]
fn what_was_accepted_before_sigterm_is_in_the_file() {
    let cantina = Cantina::start();
    let mut flood = cantina.python(FLOOD);
    flood.line_where(|line| (line == "20000").then_some(()));
    let stopped = cantina.stop();
    assert!(stopped.status.success(), "{:?} {}", stopped.status, stopped.stderr);
    assert!(stopped.took < Duration::from_secs(2), "{:?}", stopped.took);
    let ledger = stopped.session.ledger();
    assert_eq!(ledger["in_flight"], 0, "{ledger}");
    let occurrences = stopped.session.occurrences().len() as u64;
    let count = |name: &str| ledger[name].as_u64().unwrap();
    assert_eq!(count("stored") + count("merged"), occurrences, "{ledger}");
    assert!(occurrences > 10_000, "{ledger}");
}

#[test]
fn what_was_acknowledged_is_in_the_file() {
    let cantina = Cantina::start();
    let mut flood = cantina.python(ACKNOWLEDGED_FLOOD);
    flood.line_where(|line| (line.parse::<u64>().unwrap() >= 20_000).then_some(()));
    let stopped = cantina.stop();
    assert!(stopped.status.success(), "{:?} {}", stopped.status, stopped.stderr);
    assert!(stopped.took < Duration::from_secs(2), "{:?}", stopped.took);
    let (_, acks, stderr) = flood.end();
    let acknowledged = acks.last().map_or(20_000, |ack| ack.parse::<u64>().unwrap());
    let number = |text: &str| text.strip_prefix("line ")?.parse::<u64>().ok();
    let entries = stopped.session.entries();
    let kept: BTreeSet<_> =
        entries.iter().filter_map(|entry| number(entry["message"].as_str()?)).collect();
    let missing: Vec<_> = (1..=acknowledged).filter(|n| !kept.contains(n)).collect();
    assert!(missing.is_empty(), "{acknowledged} acknowledged, missing {missing:?} {stderr}");
}
