import { useMutation } from '@tanstack/react-query'
import { useEffect, useMemo, useRef, useState } from 'react'
import { ProblemError } from '../api/problem.ts'
import type { Execution, TranscriptItem } from '../api/types.ts'
import { isFinished } from '../executions/status.ts'
import { formatExact } from '../ui/format.ts'
import { useVisible } from '../ui/useVisible.ts'
import { followTranscript, readPart } from './read.ts'
import { append, earlier, emptyWindow, prepend, shown, windowStep } from './window.ts'

export interface FollowedTranscript {
  /** The newest items, the oldest of them first. */
  items: TranscriptItem[]
  /** Nothing will be added, and nothing is being read. */
  complete: boolean
  /** The connection is interrupted, and the page keeps trying. */
  interrupted: boolean
  /** Set when the page has stopped reading. */
  error: Error | undefined
  /** Set when the server has no transcript any more, because its retention is over. Says so for people. */
  deleted: string | undefined
  /** Whether there are older items, and whether the page can show them. */
  earlier: 'none' | 'available' | 'download'
  loadingEarlier: boolean
  /** Why older items could not be read. */
  earlierError: Error | null
  showEarlier: () => void
}

/** Returns the newest items of an execution's transcript, and follows it until the execution has finished. */
export function useTranscript(id: string, execution: Execution | undefined): FollowedTranscript {
  const visible = useVisible()
  const started = execution !== undefined && execution.attempt > 0
  const finished = execution !== undefined && isFinished(execution.status)
  const deletedAt = execution?.transcriptDeletedAt
  const position = useRef<number>(undefined)
  const [window, setWindow] = useState(emptyWindow)
  const [complete, setComplete] = useState(false)
  const [interrupted, setInterrupted] = useState(false)
  const [error, setError] = useState<Error>()

  useEffect(() => {
    if (!visible || !started || complete || deletedAt !== undefined) {
      return
    }
    const stop = new AbortController()
    async function watch() {
      for await (const update of followTranscript(id, position, finished, stop.signal)) {
        if ('connected' in update) {
          setInterrupted(!update.connected)
        } else if ('newest' in update) {
          setInterrupted(false)
          setWindow((before) => ({ ...before, lines: update.newest.lines, start: update.newest.start }))
        } else if (update.added.length > 0) {
          setWindow((before) => append(before, update.added))
        }
      }
      if (!stop.signal.aborted) {
        setComplete(true)
      }
    }
    watch().catch((cause: unknown) => setError(cause instanceof Error ? cause : new Error(String(cause))))
    return () => stop.abort()
  }, [id, visible, started, finished, complete, deletedAt])

  const items = useMemo(() => shown(window).map(({ item }) => item), [window])
  const place = earlier(window)
  const read = useMutation({
    mutationFn: async () => (place === 'server' ? await readPart(id, window.start) : undefined),
    onSuccess: (part) =>
      setWindow((before) => {
        const limited = { ...before, limit: shown(before).length + windowStep }
        return part ? prepend(limited, part) : limited
      }),
  })

  const deleted = deletionOf(deletedAt, error)
  return {
    items,
    deleted,
    complete: complete || (finished && !started),
    interrupted,
    error: deleted === undefined ? error : undefined,
    earlier: place === 'none' || place === 'download' ? place : 'available',
    loadingEarlier: read.isPending,
    earlierError: read.error,
    showEarlier: () => read.mutate(),
  }
}

/** The server knows when it was deleted, by the execution or by its answer. */
function deletionOf(deletedAt: string | undefined, error: Error | undefined): string | undefined {
  if (deletedAt !== undefined) {
    return `The transcript was deleted on ${formatExact(deletedAt)}: its retention is over.`
  }
  const code = error instanceof ProblemError ? error.problem.code : undefined
  return code === 'transcript_deleted' ? error?.message : undefined
}
