import asyncio, sys, json, time, subprocess
N=int(sys.argv[1]); LISTEN=float(sys.argv[2]); sets=sys.argv[3:]
import os; BIN=os.environ['SHARDCAST_BIN']
args=[BIN,'serve','--listen','127.0.0.1:0','--log-level','warn','--shards','2']
for s in sets: args+=['--set',s]
p=subprocess.Popen(args,stdout=subprocess.PIPE,text=True)
port=None
while port is None:
    line=p.stdout.readline()
    if 'http://' in line: port=int(line.split('http://')[1].split('/')[0].split(':')[1])
def cpu():
    f=open(f'/proc/{p.pid}/stat').read().rsplit(')',1)[1].split()
    return (int(f[11])+int(f[12]))/100
def rss():
    for l in open(f'/proc/{p.pid}/status'):
        if l.startswith('VmRSS'): return int(l.split()[1])
got=[0]*N; byts=[0]*N
def frame(t):
    b=t.encode(); n=len(b)
    h=bytes([0x81,0x80|n]) if n<126 else bytes([0x81,0x80|126])+n.to_bytes(2,'big')
    return h+b'\0\0\0\0'+b
class C(asyncio.Protocol):
    def __init__(self,i): self.i=i; self.done=asyncio.get_running_loop().create_future(); self.up=False; self.b=b''; self.q=self.done
    def connection_made(self,t):
        self.t=t
        t.write((f'GET /connection/websocket?name=user-{self.i} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n').encode())
    def data_received(self,d):
        if not self.up:
            self.b+=d
            if b'\r\n\r\n' not in self.b: return
            self.up=True; d=self.b.split(b'\r\n\r\n',1)[1]; self.b=b''
            jl='true' if self.i < N*LISTEN else 'false'
            self.t.write(frame('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"room","join_leave":%s}}'%jl))
        byts[self.i]+=len(d); got[self.i]+=d.count(b'"join":')+d.count(b'"leave":')
        if b'"id":2' in d and not self.done.done(): self.done.set_result(1)
        if b'"id":9' in d and not self.q.done(): self.q.set_result(1)
async def main():
    loop=asyncio.get_running_loop()
    r0=rss(); c0=cpu(); t0=time.time(); cs=[]; sem=asyncio.Semaphore(200)
    async def one(i):
        async with sem:
            _,c=await loop.create_connection(lambda:C(i),'127.0.0.1',port); cs.append(c); await c.done
    await asyncio.gather(*[one(i) for i in range(N)])
    t1=time.time(); await asyncio.sleep(1.5); c1=cpu(); r1=rss()
    print(json.dumps(dict(sets=sets,n=N,listen=LISTEN,join_s=round(t1-t0,2),us_per_join=round((c1-c0)/N*1e6,1),rss_per_member=round((r1-r0)*1024/N),events_max=max(got),events_mean=round(sum(got)/N,1))),flush=True)
    if any('presence=members' in s for s in sets):
        c1=cpu(); Q=300; c=cs[-1]; b=byts[c.i]
        for k in range(Q):
            c.q=loop.create_future(); c.t.write(frame('{"id":9,"presence":{"channel":"room"}}')); await c.q
        await asyncio.sleep(.3)
        print('  list: us cpu each',round((cpu()-c1)/Q*1e6,1),'bytes',round((byts[c.i]-b)/Q))
        c1=cpu()
        for k in range(3000):
            c.q=loop.create_future(); c.t.write(frame('{"id":9,"presence_stats":{"channel":"room"}}')); await c.q
        print('  stats: us cpu each',round((cpu()-c1)/3000*1e6,1))
    c1=cpu()
    for c in cs: c.t.abort()
    await asyncio.sleep(4)
    print('  leave: us cpu each',round((cpu()-c1)/N*1e6,1),'rss left kB',rss()-r0,flush=True)
try: asyncio.run(main())
finally:
    p.terminate(); p.wait()
