/** Stands before a MongoDB server and changes bytes of what it answers, so that a client reads what the server would not store. */
import { openMessageProxy } from '../support/message-proxy.ts';

export interface Rewrite {
  readonly from: Uint8Array;
  /** As long as `from`, so that no length changes. */
  readonly to: Uint8Array;
}

export interface RewritingProxy {
  /** The server's URL, through the proxy. */
  readonly url: string;
  close(): Promise<void>;
}

export async function openRewritingProxy(
  target: string,
  rewrites: readonly Rewrite[],
): Promise<RewritingProxy> {
  const { port, close } = await openMessageProxy(target, {
    lengthOf: (held) => (held.length < 4 ? null : held.readInt32LE(0)),
    change(message) {
      for (const { from, to } of rewrites) {
        for (let at = message.indexOf(from); at >= 0; at = message.indexOf(from, at + from.length)) {
          message.set(to, at);
        }
      }
      return message;
    },
  });
  const url = new URL(target);
  url.host = `127.0.0.1:${port}`;
  url.searchParams.set('directConnection', 'true');
  return { url: url.href, close };
}
