// What each of the package's hosts runs: a member that founds a cluster in memory, writes, watches and reads.
export async function greet({ init, Liferaft }, options) {
  await init(options);
  const node = await Liferaft.found({ storage: 'memory', electionTimeoutMs: 200 });
  await node.joined();
  const { revision } = await node.set('greeting', 'hello');
  for await (const event of node.watch('greeting', { from: revision })) {
    if (event.type === 'changes') break;
  }
  const { text } = await node.get('greeting');
  await node.stop();
  // That its worker was not found, say.
  if (node.warnings.length > 0) throw new Error(node.warnings.join());
  return text;
}
