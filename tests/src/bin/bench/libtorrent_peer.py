"""One libtorrent peer for the bench. Direct TCP, no DHT, no discovery, plain text, 256 KiB pieces.

make TORRENT PATH v1|v2 | seed TORRENT DIR PORT | fetch TORRENT DIR PORT SHARER_PORT
"""
import os
import sys

import libtorrent as lt

role, torrent = sys.argv[1:3]

if role == "make":
    path, kind = sys.argv[3:5]
    files = lt.file_storage()
    lt.add_files(files, path)
    flags = {"v1": lt.create_torrent.v1_only, "v2": lt.create_torrent.v2_only}[kind]
    creator = lt.create_torrent(files, 256 * 1024, flags)
    lt.set_piece_hashes(creator, os.path.dirname(os.path.abspath(path)))
    with open(torrent, "wb") as out:
        out.write(lt.bencode(creator.generate()))
    sys.exit(0)

folder, port = sys.argv[3:5]
categories = lt.alert.category_t
session = lt.session({
    "listen_interfaces": f"127.0.0.1:{port}",
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "enable_incoming_utp": False, "enable_outgoing_utp": False,
    "allow_multiple_connections_per_ip": True,
    "in_enc_policy": int(lt.enc_policy.disabled), "out_enc_policy": int(lt.enc_policy.disabled),
    "alert_mask": int(categories.status_notification | categories.storage_notification | categories.error_notification),
})
params = lt.add_torrent_params()
params.ti = lt.torrent_info(torrent)
params.save_path = folder
params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
if role == "seed":
    params.flags |= lt.torrent_flags.seed_mode  # trust the data: the sharer's check is not what is timed
handle = session.add_torrent(params)
if role == "fetch":
    handle.connect_peer(("127.0.0.1", int(sys.argv[5])))
print("up", flush=True)
finished = False
while True:
    session.wait_for_alert(200)
    for alert in session.pop_alerts():
        if isinstance(alert, (lt.torrent_error_alert, lt.file_error_alert)):
            print(alert.message(), file=sys.stderr, flush=True)
            os._exit(1)
        if role == "fetch" and isinstance(alert, lt.torrent_finished_alert) and not finished:
            finished = True
            handle.flush_cache()
        if finished and isinstance(alert, lt.cache_flushed_alert):
            os._exit(0)
