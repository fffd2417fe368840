import { skipToken, useQuery, useQueryClient, type QueryClient } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { keys } from '../api/keys.ts'
import type { Execution } from '../api/types.ts'
import { follow } from './follow.ts'
import { hasEnded } from './status.ts'

export interface Followed {
  execution: Execution | undefined
  /** Set while the server does not answer; looking goes on. */
  lost: Error | undefined
  /** Set when looking has ended without an end of the execution. */
  error: Error | undefined
}

interface Trouble {
  id: string
  lost?: Error
  error?: Error
}

/** The execution as it is, kept current until it has ended; as it was last seen while not following. */
export function useExecution(id: string, following = true): Followed {
  const client = useQueryClient()
  const { data: execution } = useQuery<Execution>({ queryKey: keys.execution(id), queryFn: skipToken })
  const [trouble, setTrouble] = useState<Trouble>()

  useEffect(() => {
    if (!following) {
      return
    }
    const stop = new AbortController()
    async function watch() {
      try {
        for await (const sighting of follow(id, stop.signal)) {
          if ('lost' in sighting) {
            setTrouble({ id, lost: sighting.lost })
            continue
          }
          setTrouble(undefined)
          store(client, sighting.execution)
        }
      } catch (error) {
        setTrouble({ id, error: error instanceof Error ? error : new Error(String(error)) })
      }
    }
    const known = client.getQueryData<Execution>(keys.execution(id))
    if (known === undefined || !hasEnded(known.status)) {
      void watch()
    }
    return () => stop.abort()
  }, [client, id, following])

  const current = trouble?.id === id ? trouble : undefined
  return { execution, lost: current?.lost, error: current?.error }
}

/** Keeps what was seen of an execution; its end also changes the lists and the conversation it belongs to. */
export function store(client: QueryClient, execution: Execution): void {
  const before = client.getQueryData<Execution>(keys.execution(execution.id))
  client.setQueryData(keys.execution(execution.id), execution)
  if (before?.status === execution.status) {
    return
  }
  void client.invalidateQueries({ queryKey: keys.executions })
  if (hasEnded(execution.status) && execution.conversationId !== undefined) {
    void client.invalidateQueries({ queryKey: keys.conversation(execution.conversationId) })
    void client.invalidateQueries({ queryKey: keys.conversations })
  }
}
