import socket,select,subprocess,time,sys,os,re,http.client,resource,threading
resource.setrlimit(resource.RLIMIT_NOFILE,(20000,20000))
BIN=sys.argv[1]
def start():
    p=subprocess.Popen([BIN,"serve","--listen","127.0.0.1:0","--shards","1","--log-level","warn"],stdout=subprocess.PIPE,text=True)
    while True:
        m=re.search(r"open\s+http://127.0.0.1:(\d+)/",p.stdout.readline())
        if m: return p,int(m.group(1))
def cpu(pid):
    return sum(int(open(f"/proc/{pid}/task/{t}/schedstat").read().split()[0]) for t in os.listdir(f"/proc/{pid}/task"))/1e9
def mem(pid):
    return sum(int(l.split()[1]) for l in open(f"/proc/{pid}/smaps_rollup") if l.startswith("Rss:"))
REQ={"raw":b"GET /ws/room HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
     "sse":b"GET /sse/room HTTP/1.1\r\nHost: a\r\n\r\n"}
MARK={"raw":b"101","sse":b"event: live"}
def join(port,kind,n):
    out=[]
    for _ in range(n):
        s=socket.create_connection(("127.0.0.1",port)); s.sendall(REQ[kind])
        b=b""
        while MARK[kind] not in b: b+=s.recv(4096)
        s.setblocking(False); out.append(s)
    return out
def fan(kind,n,rate,secs):
    p,port=start(); socks=join(port,kind,n)
    ep=select.epoll(); fd={s.fileno():s for s in socks}
    for f in fd: ep.register(f,select.EPOLLIN)
    stop=False; got=[0]
    def reader():
        buf=bytearray(65536)
        while not stop:
            for f,_ in ep.poll(0.2):
                try: got[0]+=fd[f].recv_into(buf)
                except BlockingIOError: pass
    t=threading.Thread(target=reader); t.start()
    pub=socket.create_connection(("127.0.0.1",port)); pub.sendall(REQ["raw"].replace(b"/ws/room",b"/ws/room?echo=0")); pub.recv(4096)
    body=b"x"*126 if False else b"x"*125
    frame=bytes([0x81,0x80|125,0,0,0,0])+body
    time.sleep(0.5); c0=cpu(p.pid); t0=time.time()
    for i in range(int(rate*secs)):
        d=t0+i/rate-time.time()
        if d>0: time.sleep(d)
        pub.sendall(frame)
    time.sleep(0.5); c1=cpu(p.pid); stop=True; t.join()
    m=http.client.HTTPConnection("127.0.0.1",port); m.request("GET","/metrics"); page=m.getresponse().read().decode()
    dl=sum(float(l.split()[-1]) for l in page.splitlines() if l.startswith("shardcast_deliveries_total"))
    sd=sum(float(l.split()[-1]) for l in page.splitlines() if l.startswith("shardcast_sends_total"))
    p.kill(); p.wait()
    print(f"{kind} {n} x {rate}/s: {1e6*(c1-c0)/dl:.3f} us/delivery, {dl:.0f} deliveries of {n*rate*secs:.0f}, {dl/sd:.2f} per send, {got[0]} bytes read",flush=True)
    return (c1-c0)/dl
def memory(kind,n):
    p,port=start(); w=join(port,kind,50); a=mem(p.pid); s=join(port,kind,n); time.sleep(1); b=mem(p.pid)
    p.kill(); p.wait(); print(f"{kind}: {(b-a)*1024/n:.0f} bytes of memory per idle member ({n})",flush=True)
for kind in ("raw","sse"): memory(kind,5000)
for rate,secs in ((20,8),(100,6),(300,5)):
    r=[]
    for _ in range(2):
        raw=fan("raw",1000,rate,secs); sse=fan("sse",1000,rate,secs); r.append(sse/raw)
    print(f"ratio at {rate}/s: {sum(r)/len(r):.2f}",flush=True)
