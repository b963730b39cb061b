/** Run as a process of its own, so that a download that hangs can be ended. Prints `mongod: PATH` or `failed: WHY`. */
import binary from 'mongodb-memory-server-core/lib/util/MongoBinary.js';

try {
  console.log(`mongod: ${await binary.MongoBinary.getPath()}`);
} catch (error) {
  console.log(
    `failed: ${error instanceof Error ? error.message.split('\n')[0]?.replace(/,? Details:$/, '') : 'unknown'}`,
  );
  process.exitCode = 1;
}
