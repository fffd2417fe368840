import { Disclosure } from '../ui/Disclosure.tsx'
import { formatDuration } from '../ui/format.ts'
import { Entries } from './Entries.tsx'
import type { ToolEntry } from './grouping.ts'
import { CutNotice, ItemText } from './ItemText.tsx'
import { fieldsOf, summaryOf, textOf } from './toolInput.ts'

// Shorter calls do not show how long they took.
const minDurationMs = 1000

/** A tool call in one line, which opens to its input and its result. Below it, what its sub-agent said and did. */
export function ToolCall({ entry, running }: { entry: ToolEntry; running: boolean }) {
  const { call, result, children } = entry
  const tool = call ? (call.tool ?? 'Tool') : 'Tool call before this'
  return (
    <>
      <Disclosure
        summary={
          <>
            <span className="max-w-1/2 shrink-0 truncate font-mono text-xs font-semibold">{tool}</span>{' '}
            <span dir="auto" className="min-w-0 flex-1 truncate font-mono text-xs text-muted">
              {summaryOf(call?.input)}
            </span>{' '}
            <State entry={entry} running={running} />
          </>
        }
      >
        {call && <Input input={call.input} />}
        {call?.truncated && <CutNotice />}
        <div>
          <p className="label-small mb-1">{result?.isError ? 'Error' : 'Result'}</p>
          {result?.text ? (
            <Block text={result.text} danger={result.isError} />
          ) : (
            <p className="text-sm text-muted">{missing(entry, running)}</p>
          )}
        </div>
        {result?.truncated && <CutNotice />}
      </Disclosure>
      {children.length > 0 && (
        <div className="my-1 ml-3 border-l-2 border-line pl-1 sm:pl-3">
          <Entries label={`Sub-agent of ${tool}`} entries={children} running={running} />
        </div>
      )}
    </>
  )
}

function missing({ result }: ToolEntry, running: boolean): string {
  if (result) {
    return 'The result is empty.'
  }
  return running ? 'The tool is running.' : 'None: the attempt ended first.'
}

/** Whether a tool failed, is running, has no result, or how long it took. */
function State({ entry: { call, result }, running }: { entry: ToolEntry; running: boolean }) {
  const style = 'shrink-0 text-xs'
  if (result?.isError) {
    return <span className={`${style} font-medium text-danger`}>failed</span>
  }
  if (!result) {
    return <span className={`${style} text-muted`}>{running ? 'running…' : 'no result'}</span>
  }
  const duration = call ? Date.parse(result.time) - Date.parse(call.time) : 0
  return duration >= minDurationMs ? (
    <span className={`${style} text-muted tabular-nums`}>{formatDuration(duration)}</span>
  ) : null
}

function Input({ input }: { input: unknown }) {
  return (
    <dl className="flex flex-col gap-3">
      {fieldsOf(input).map(({ name, value }) => (
        <div key={name}>
          <dt className="label-small mb-1 normal-case">{name || 'Input'}</dt>
          <dd>
            <Block text={textOf(value)} />
          </dd>
        </div>
      ))}
    </dl>
  )
}

function Block({ text, danger = false }: { text: string; danger?: boolean | undefined }) {
  return (
    <div className="flex max-h-96 flex-col overflow-y-auto rounded-md border border-line bg-surface px-3 py-2">
      <ItemText text={text} className={`font-mono text-xs ${danger ? 'text-danger' : ''}`} />
    </div>
  )
}
