// Google's Node clients against `airlock emulators`: they must not notice the difference.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import { createInterface } from 'node:readline'
import { FieldValue, Firestore } from '@google-cloud/firestore'
import { PubSub } from '@google-cloud/pubsub'

let emulators, db, pubsub

before(async () => {
  const program = new URL('../../bin/airlock', import.meta.url).pathname
  emulators = spawn(program, ['emulators', '--memory', '--pubsub', '127.0.0.1:0', '--firestore', '127.0.0.1:0'])
  for await (const line of createInterface(emulators.stdout)) {
    const match = /((?:FIRESTORE|PUBSUB)_EMULATOR_HOST)=(\S+)/.exec(line)
    if (match) process.env[match[1]] = match[2]
    if (process.env.FIRESTORE_EMULATOR_HOST && process.env.PUBSUB_EMULATOR_HOST) break
  }
  // Without it the clients look for a metadata server, which no emulator needs.
  process.env.METADATA_SERVER_DETECTION = 'none'
  db = new Firestore({ projectId: 'demo' })
  pubsub = new PubSub({ projectId: 'demo' })
})

after(async () => {
  await db.terminate()
  await pubsub.close()
  emulators.kill('SIGINT')
  await once(emulators, 'exit')
})

test('documents are set, updated, read and deleted', async () => {
  const doc = db.doc('users/ada')
  await doc.set({ name: 'Ada', born: 1815, tags: ['a'] })
  await doc.update({ tags: FieldValue.arrayUnion('b'), born: FieldValue.increment(1), seen: FieldValue.serverTimestamp() })
  const data = (await doc.get()).data()
  assert.deepEqual({ ...data, seen: typeof data.seen.toMillis() }, { name: 'Ada', born: 1816, tags: ['a', 'b'], seen: 'number' })
  await assert.rejects(doc.create({}), { code: 6 })
  await doc.delete()
  assert.equal((await doc.get()).exists, false)
})

test('concurrent transactions lose no update', async () => {
  const doc = db.doc('counters/one')
  await doc.set({ n: 0 })
  const increment = (tx) => tx.get(doc).then((s) => tx.update(doc, { n: s.data().n + 1 }))
  await Promise.all(Array.from({ length: 40 }, () => db.runTransaction(increment, { maxAttempts: 50 })))
  assert.equal((await doc.get()).data().n, 40)
})

test('limit 0 is a limit, and NaN equals only NaN', async () => {
  const values = db.collection('values')
  await Promise.all([1, 2, 3, NaN].map((s, i) => values.doc(`v${i}`).set({ s })))
  const found = async (query) => (await query.get()).docs.map((d) => d.data().s)
  assert.deepEqual(await found(values.limit(0)), [])
  assert.deepEqual(await found(values.where('s', '<=', 2).orderBy('s')), [1, 2])
  assert.deepEqual(await found(values.where('s', '==', NaN)), [NaN])
  assert.deepEqual(await found(values.where('s', '!=', NaN).orderBy('s')), [1, 2, 3])
  assert.deepEqual(await found(values.orderBy('s')), [NaN, 1, 2, 3])
})

test('queries, counts and listeners agree', async () => {
  const numbers = db.collection('numbers')
  await Promise.all([3, 1, 2].map((n) => numbers.doc(`n${n}`).set({ n, odd: n % 2 === 1 })))
  const odd = numbers.where('odd', '==', true).orderBy('n')
  assert.deepEqual((await odd.get()).docs.map((d) => d.data().n), [1, 3])
  assert.equal((await odd.count().get()).data().count, 2)
  const seen = await new Promise((resolve, reject) => {
    const sizes = []
    const stop = odd.onSnapshot((s) => {
      sizes.push(s.size)
      if (sizes.length === 1) void numbers.doc('n5').set({ n: 5, odd: true })
      if (sizes.length === 2) { stop(); resolve(sizes) }
    }, reject)
  })
  assert.deepEqual(seen, [2, 3])
})

test('messages are published, delivered, nacked and acknowledged', async () => {
  const [topic] = await pubsub.createTopic('news')
  const [subscription] = await topic.createSubscription('reader', { filter: 'attributes.kind = "good"' })
  await topic.publishMessage({ data: Buffer.from('not for us'), attributes: { kind: 'bad' } })
  await topic.publishMessage({ data: Buffer.from('hello'), attributes: { kind: 'good' } })
  const got = []
  await new Promise((resolve, reject) => {
    subscription.on('error', reject)
    subscription.on('message', (m) => {
      got.push(m.data.toString())
      if (got.length === 1) return m.nack()
      m.ack()
      resolve()
    })
  })
  await subscription.close()
  assert.deepEqual(got, ['hello', 'hello'])
})
