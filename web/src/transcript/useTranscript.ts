import { useMutation } from '@tanstack/react-query'
import { useEffect, useMemo, useRef, useState } from 'react'
import type { Execution, TranscriptItem } from '../api/types.ts'
import { isFinished } from '../executions/status.ts'
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
  const position = useRef<number>(undefined)
  const [window, setWindow] = useState(emptyWindow)
  const [complete, setComplete] = useState(false)
  const [interrupted, setInterrupted] = useState(false)
  const [error, setError] = useState<Error>()

  useEffect(() => {
    if (!visible || !started || complete) {
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
  }, [id, visible, started, finished, complete])

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

  return {
    items,
    complete: complete || (finished && !started),
    interrupted,
    error,
    earlier: place === 'none' || place === 'download' ? place : 'available',
    loadingEarlier: read.isPending,
    earlierError: read.error,
    showEarlier: () => read.mutate(),
  }
}
