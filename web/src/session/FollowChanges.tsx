import { useQueryClient, type QueryClient, type QueryKey } from '@tanstack/react-query'
import { createContext, useContext, useEffect, useRef, useState, type ReactNode } from 'react'
import { api } from '../api/client.ts'
import { queryKeys } from '../api/queryKeys.ts'
import { Refetcher } from '../api/refetcher.ts'
import { followEvents, type Open, type Position, type ServerEvent } from '../api/serverEvents.ts'
import type { Change } from '../api/types.ts'
import { useVisible } from '../ui/useVisible.ts'

const Live = createContext(false)

/**
 * Reads the lists of the page again when the server says that something in them has changed. A hidden tab has no
 * stream, because a browser has few connections for all its tabs; it catches up when it is visible again.
 */
export function FollowChanges({ children }: { children: ReactNode }) {
  const client = useQueryClient()
  const visible = useVisible()
  const position = useRef<string>(undefined)
  const [live, setLive] = useState(false)

  useEffect(() => {
    if (!visible) {
      return
    }
    const stop = new AbortController()
    // After a problem that is not transient, such as an older server, the lists are polled.
    followChanges(client, position, stop.signal, setLive).catch(() => setLive(false))
    return () => {
      stop.abort()
      setLive(false)
    }
  }, [client, visible])

  return <Live value={live}>{children}</Live>
}

/**
 * Returns how often to read something again that will change: after ms, or after liveMs if the server tells of changes.
 * Not everything that the page shows is in those changes.
 */
export function useRefetchInterval(ms: number, liveMs = 15_000): number {
  return useContext(Live) ? liveMs : ms
}

const openChanges: Open = (headers, signal) =>
  api.GET('/events', {
    params: { header: headers },
    headers: { Accept: 'text/event-stream' },
    parseAs: 'stream',
    signal,
  })

async function followChanges(
  client: QueryClient,
  position: Position,
  signal: AbortSignal,
  onLive: (live: boolean) => void,
): Promise<void> {
  const refetcher = new Refetcher(client)
  for await (const update of followEvents(openChanges, position, signal)) {
    if ('event' in update) {
      changedBy(update.event).forEach((key) => refetcher.invalidate(key))
      continue
    }
    onLive(update.connected)
    if (update.connected && position.current === undefined) {
      // What was read before the stream began may have changed in between.
      everything.forEach((key) => refetcher.invalidate(key))
    }
  }
}

const everything: QueryKey[] = [
  queryKeys.executions,
  queryKeys.batches,
  queryKeys.anyBatch,
  queryKeys.conversations,
  queryKeys.anyConversation,
]

/** Returns the keys of the queries that an event concerns. */
function changedBy({ name, data }: ServerEvent): QueryKey[] {
  if (name !== 'change') {
    return name === 'reload' ? everything : []
  }
  const { batchId, conversationId, status } = JSON.parse(data) as Change
  return [
    queryKeys.executions,
    ...(batchId === undefined ? [] : [queryKeys.batches, queryKeys.batch(batchId)]),
    // A turn that begins to run changes nothing in its conversation.
    ...(conversationId === undefined || status === 'running'
      ? []
      : [queryKeys.conversations, queryKeys.conversation(conversationId)]),
  ]
}
