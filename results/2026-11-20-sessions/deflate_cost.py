import socket, select, sys, time, os, subprocess, json, random, re
# measure.py BIN MODE MEMBERS RATE SECONDS LEVEL
binary, mode, members, rate, seconds, level = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]), sys.argv[6]
s=socket.socket(); s.bind(('127.0.0.1',0)); port=s.getsockname()[1]; s.close()
srv=subprocess.Popen(['taskset','-c','0',binary,'serve','--listen',f'127.0.0.1:{port}','--shards','1','--log-level','error','--set','deflate.mode='+('on' if mode!='plain' else 'off'),'--set','deflate.level='+level,'--set','limits.connections_per_address_max=100000'],stdout=subprocess.DEVNULL)
os.sched_setaffinity(0,{1})
for _ in range(200):
    try: socket.create_connection(('127.0.0.1',port)).close(); break
    except OSError: time.sleep(.05)
random.seed(5)
def trades(n):
    j='{"channel":"trades","market":"BTC-EUR","sequence":%d,"trades":['%random.randrange(10**7,10**8)
    while len(j)<n:
        j+=(''if j.endswith('[') else ',')+'{"id":%d,"price":"%d.%02d","size":"0.%05d","side":"%s"}'%(random.getrandbits(63),60000+random.randrange(500),random.randrange(100),random.randrange(100000),random.choice(['buy','sell']))
    return j+']}'
payloads=[trades(950) for _ in range(64)]
ext='Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n' if mode!='plain' else ''
req=('GET /ws/room HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n'+ext+'\r\n').encode()
socks=[]
for i in range(members):
    c=socket.create_connection(('127.0.0.1',port)); c.sendall(req)
    r=c.recv(4096); assert b'101' in r and (b'permessage' in r)==(mode!='plain'),r
    c.setblocking(False); socks.append(c)
ep=select.epoll()
by={}
for c in socks: ep.register(c.fileno(),select.EPOLLIN|select.EPOLLET); by[c.fileno()]=c
pub=socket.create_connection(('127.0.0.1',port)); pub.setsockopt(socket.IPPROTO_TCP,socket.TCP_NODELAY,1); pub.setblocking(True)
def cpu():
    f=open(f'/proc/{srv.pid}/stat').read().rsplit(')',1)[1].split(); return (int(f[11])+int(f[12]))/os.sysconf('SC_CLK_TCK')
def schedcpu():
    t=0
    for th in os.listdir(f'/proc/{srv.pid}/task'):
        t+=int(open(f'/proc/{srv.pid}/task/{th}/schedstat').read().split()[0])
    return t/1e9
got=0; buf=bytearray(1<<20)
c0=schedcpu(); t0=time.time(); sent=0; pend=0
end=t0+seconds
while True:
    now=time.time()
    if now>end+1: break
    while now<end and now-t0>=sent/rate:
        p=payloads[sent%64].encode()
        pub.sendall(b'POST /rooms/room HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n'%len(p)+p); sent+=1
    for fd,ev in ep.poll(0.002,4096):
        c=by[fd]
        try:
            while True:
                n=c.recv_into(buf)
                if n==0: break
                got+=n
        except BlockingIOError: pass
    try:
        pub.setblocking(False); pub.recv(1<<20)
    except BlockingIOError: pass
    finally: pub.setblocking(True)
c1=schedcpu()
d=sent*members
print(mode,'level',level,'members',members,'rate',rate,'sent',sent,'cpu us/delivery %.3f'%((c1-c0)*1e6/d),'bytes/delivery %.1f'%(got/d))
srv.terminate(); srv.wait()
