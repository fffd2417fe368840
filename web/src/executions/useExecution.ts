import { skipToken, useQuery, useQueryClient, type QueryClient } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { queryKeys } from '../api/queryKeys.ts'
import type { Execution } from '../api/types.ts'
import { follow } from './follow.ts'
import { isFinished } from './status.ts'

export interface FollowedExecution {
  execution: Execution | undefined
  /** Set while the server does not answer. The page keeps trying. */
  connectionError: Error | undefined
  /** Set when the page has stopped following before the execution finished. */
  error: Error | undefined
}

interface FollowError {
  id: string
  connectionError?: Error
  error?: Error
}

/** Returns the execution, and follows it until it has finished. Without following, returns its last known version. */
export function useExecution(id: string, following = true): FollowedExecution {
  const client = useQueryClient()
  const { data: execution } = useQuery<Execution>({ queryKey: queryKeys.execution(id), queryFn: skipToken })
  const [failure, setFailure] = useState<FollowError>()

  useEffect(() => {
    if (!following) {
      return
    }
    const stop = new AbortController()
    async function watch() {
      try {
        for await (const update of follow(id, stop.signal)) {
          if ('connectionError' in update) {
            setFailure({ id, connectionError: update.connectionError })
            continue
          }
          setFailure(undefined)
          cacheExecution(client, update.execution)
        }
      } catch (error) {
        setFailure({ id, error: error instanceof Error ? error : new Error(String(error)) })
      }
    }
    const cached = client.getQueryData<Execution>(queryKeys.execution(id))
    if (cached === undefined || !isFinished(cached.status)) {
      void watch()
    }
    return () => stop.abort()
  }, [client, id, following])

  const current = failure?.id === id ? failure : undefined
  return { execution, connectionError: current?.connectionError, error: current?.error }
}

/** Puts an execution into the query cache, and invalidates the lists and the conversation that its status changes. */
export function cacheExecution(client: QueryClient, execution: Execution): void {
  const before = client.getQueryData<Execution>(queryKeys.execution(execution.id))
  client.setQueryData(queryKeys.execution(execution.id), execution)
  if (before?.status === execution.status) {
    return
  }
  void client.invalidateQueries({ queryKey: queryKeys.executions })
  if (isFinished(execution.status) && execution.conversationId !== undefined) {
    void client.invalidateQueries({ queryKey: queryKeys.conversation(execution.conversationId) })
    void client.invalidateQueries({ queryKey: queryKeys.conversations })
  }
}
