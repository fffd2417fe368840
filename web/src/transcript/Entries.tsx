import type { TranscriptItem } from '../api/types.ts'
import { Disclosure } from '../ui/Disclosure.tsx'
import type { Entry } from './grouping.ts'
import { CutNotice, ItemText } from './ItemText.tsx'
import { ToolCall } from './ToolCall.tsx'

interface Props {
  /** What the list is, for screen readers. */
  label: string
  entries: Entry[]
  /** The agent may still add to them. */
  running: boolean
}

/** What an agent said and did, in its order. */
export function Entries({ label, entries, running }: Props) {
  return (
    <ol aria-label={label}>
      {entries.map((entry) => (
        <li key={entry.key}>
          {'item' in entry ? <Item item={entry.item} /> : <ToolCall entry={entry} running={running} />}
        </li>
      ))}
    </ol>
  )
}

function Item({ item }: { item: TranscriptItem }) {
  const { type, text = '', truncated } = item
  if (type === 'thinking') {
    return (
      <Disclosure
        summary={
          <>
            <span className="shrink-0 text-xs text-muted">Thought</span>{' '}
            <span
              dir="auto"
              className="min-w-0 flex-1 truncate text-xs text-muted italic group-aria-expanded:hidden"
            >
              {text.trimStart().split('\n', 1)[0]?.slice(0, 200)}
            </span>
          </>
        }
      >
        <ItemText text={text} className="text-sm text-muted" />
        {truncated && <CutNotice />}
      </Disclosure>
    )
  }
  return (
    <div className={`flex flex-col px-2 ${spaces[type] ?? 'py-1'}`}>
      <ItemText text={text} className={styles[type] ?? 'text-xs text-muted'} />
      {truncated && <CutNotice />}
    </div>
  )
}

// Items of other types are subdued: retries, notices, and those of a newer server.
const styles: Record<string, string> = { text: 'text-sm', output: 'font-mono text-xs' }
const spaces: Record<string, string> = { text: 'py-2', output: 'py-0.5' }
