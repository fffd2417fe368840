import { useEffect, useRef, useState } from 'react'
import { api } from '../api/client.ts'
import { followEvents, type Open } from '../api/serverEvents.ts'
import type { Step } from '../api/types.ts'
import { useVisible } from '../ui/useVisible.ts'

// How many of the newest steps the page shows.
const maxSteps = 5

/** What the agent of a running attempt says and does. A screen reader does not announce it: it would not stop. */
export function Steps({ executionId }: { executionId: string }) {
  const { steps, saying } = useSteps(executionId)
  if (steps.length === 0 && !saying) {
    return null
  }
  return (
    <ol aria-label="Steps" aria-live="off" className="flex w-full flex-col gap-1 py-2 pr-3 text-muted">
      {steps.map(({ number, kind, text }) => (
        <li
          key={number}
          dir="auto"
          className={`line-clamp-3 wrap-anywhere ${kind === 'progress' ? 'font-mono text-xs' : ''}`}
        >
          {text}
        </li>
      ))}
      {saying && (
        <li dir="auto" className="text-verbatim flex max-h-40 flex-col-reverse overflow-y-auto text-ink">
          {saying}
        </li>
      )}
    </ol>
  )
}

interface Live {
  steps: (Step & { kind: string })[]
  /** What the agent is saying at present; it becomes a step. */
  saying: string
}

function useSteps(executionId: string): Live {
  const visible = useVisible()
  const position = useRef<string>(undefined)
  const [live, setLive] = useState<Live>({ steps: [], saying: '' })

  useEffect(() => {
    if (!visible) {
      return
    }
    const stop = new AbortController()
    const open: Open = (headers, signal) =>
      api.GET('/executions/{id}/events', {
        params: { path: { id: executionId }, header: headers },
        headers: { Accept: 'text/event-stream' },
        parseAs: 'stream',
        signal,
      })
    async function watch() {
      for await (const update of followEvents(open, position, stop.signal)) {
        if (!('event' in update) || !['output', 'progress', 'partial'].includes(update.event.name)) {
          continue
        }
        const step = { ...(JSON.parse(update.event.data) as Step), kind: update.event.name }
        setLive(({ steps, saying }) => ({
          steps: step.kind === 'partial' ? steps : [...steps, step].slice(-maxSteps),
          saying: step.kind === 'partial' ? step.text : step.kind === 'output' ? '' : saying,
        }))
      }
    }
    watch().catch(() => undefined) // the page shows the status without the steps
    return () => stop.abort()
  }, [executionId, visible])

  return live
}
