import type { ReactNode } from 'react'
import { useAgents } from '../agents/queries.ts'
import { useConversations } from '../conversations/queries.ts'
import { hrefOf, type Route } from '../route/route.ts'
import { signOut, useSession } from '../session/session.ts'
import { useMayBeOperator } from '../session/useCaller.ts'
import { Button } from '../ui/Button.tsx'
import { Logo } from '../ui/Logo.tsx'
import { Timestamp } from '../ui/Timestamp.tsx'
import { TextLink } from '../ui/TextLink.tsx'

export function Sidebar({ route }: { route: Route }) {
  const conversations = useConversations()
  const agents = useAgents()
  const session = useSession()
  const mayBeOperator = useMayBeOperator()
  return (
    <nav aria-label="Conversations and agents" className="flex min-h-0 flex-1 flex-col">
      <div className="flex min-h-14 items-center gap-2.5 px-5 max-md:pl-16">
        <Logo small />
        <span className="font-semibold tracking-tight">Airlock</span>
      </div>
      <div className="px-3 pb-3">
        <a
          href={hrefOf({ page: 'new' })}
          className="flex min-h-9 items-center justify-center rounded-lg border border-line bg-surface text-sm font-medium hover:border-accent hover:text-accent"
        >
          New conversation
        </a>
      </div>
      <div className="relative flex-1 overflow-y-auto px-3">
        <Section title="Conversations" empty="None yet. Start one above." list={conversations}>
          {conversations.data?.map(({ id, title, updatedAt }) => (
            <Entry
              key={id}
              to={{ page: 'conversation', id }}
              route={route}
              aside={<Timestamp iso={updatedAt} />}
            >
              {title}
            </Entry>
          ))}
        </Section>
        <Section
          title="Agents"
          empty="None yet. Ask for one in a conversation."
          list={agents}
          action={<TextLink to={{ page: 'new-agent' }}>New agent</TextLink>}
        >
          {agents.data?.map(({ id, name }) => (
            <Entry key={id} to={{ page: 'agent', id }} route={route}>
              {name}
            </Entry>
          ))}
        </Section>
      </div>
      <ul className="border-t border-line p-3">
        <Entry to={{ page: 'executions' }} route={route}>
          Executions
        </Entry>
        <Entry to={{ page: 'batches' }} route={route}>
          Batches
        </Entry>
        <Entry to={{ page: 'environments' }} route={route}>
          Environments
        </Entry>
        <Entry to={{ page: 'usage' }} route={route}>
          Usage
        </Entry>
        {mayBeOperator && (
          <Entry to={{ page: 'operator' }} route={route}>
            Operator
          </Entry>
        )}
        {session.key !== undefined && (
          <li>
            <Button look="plain" className="w-full" onClick={signOut}>
              Sign out
            </Button>
          </li>
        )}
      </ul>
    </nav>
  )
}

interface SectionProps {
  title: string
  empty: string
  list: { data?: unknown[] | undefined; error: Error | null; isPending: boolean }
  children: ReactNode
  /** A link beside the title. */
  action?: ReactNode
}

function Section({ title, empty, list, children, action }: SectionProps) {
  return (
    <section aria-label={title} className="mb-5">
      <div className="flex items-baseline justify-between px-2 pb-1">
        <h2 className="label-small">{title}</h2>
        {action && <span className="text-xs">{action}</span>}
      </div>
      {list.error && <p className="px-2 text-sm text-danger">{list.error.message}</p>}
      {list.data?.length === 0 && <p className="px-2 text-sm text-muted">{empty}</p>}
      {list.isPending && <p className="px-2 text-sm text-muted">Loading…</p>}
      <ul>{children}</ul>
    </section>
  )
}

interface EntryProps {
  to: Route
  route: Route
  children: ReactNode
  aside?: ReactNode
}

function Entry({ to, route, children, aside }: EntryProps) {
  const current = hrefOf(to) === hrefOf(route)
  return (
    <li>
      <a
        href={hrefOf(to)}
        aria-current={current ? 'page' : undefined}
        className={`flex min-h-9 items-center gap-2 rounded-lg px-2 text-sm ${current ? 'bg-soft font-medium text-accent' : 'hover:bg-soft/60'}`}
      >
        <span className="min-w-0 flex-1 truncate">{children}</span>
        {aside && <span className="shrink-0 text-xs text-muted">{aside}</span>}
      </a>
    </li>
  )
}
