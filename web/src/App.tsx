import { AgentPage } from './agents/AgentPage.tsx'
import { NewAgentPage } from './agents/NewAgentPage.tsx'
import { BatchesPage } from './batches/BatchesPage.tsx'
import { BatchPage } from './batches/BatchPage.tsx'
import { ChatPage } from './conversations/ChatPage.tsx'
import { EnvironmentPage } from './environments/EnvironmentPage.tsx'
import { EnvironmentsPage } from './environments/EnvironmentsPage.tsx'
import { NewEnvironmentPage } from './environments/NewEnvironmentPage.tsx'
import { ExecutionPage } from './executions/ExecutionPage.tsx'
import { ExecutionsPage } from './executions/ExecutionsPage.tsx'
import { Shell } from './layout/Shell.tsx'
import { OperatorPage, OperatorShell } from './operator/OperatorPage.tsx'
import { hrefOf, type Route } from './route/route.ts'
import { useRoute } from './route/useRoute.ts'
import { FollowChanges } from './session/FollowChanges.tsx'
import { useSession } from './session/session.ts'
import { SignIn } from './session/SignIn.tsx'
import { useIsOperator } from './session/useCaller.ts'
import { EmptyState } from './ui/EmptyState.tsx'
import { TextLink } from './ui/TextLink.tsx'
import { UsagePage } from './usage/UsagePage.tsx'

export function App() {
  const route = useRoute()
  const session = useSession()
  if (session.rejection !== undefined) {
    return <SignIn session={session} />
  }
  return <SignedIn route={route} />
}

/** The page of a caller whom the server accepts, as far as known. */
function SignedIn({ route }: { route: Route }) {
  if (useIsOperator()) {
    return <OperatorShell />
  }
  return (
    <FollowChanges>
      <Shell route={route}>
        <Page key={hrefOf(route)} route={route} />
      </Shell>
    </FollowChanges>
  )
}

function Page({ route }: { route: Route }) {
  switch (route.page) {
    case 'new':
      return <ChatPage agentId={route.agentId} />
    case 'conversation':
      return <ChatPage conversationId={route.id} />
    case 'agent':
      return <AgentPage id={route.id} />
    case 'new-agent':
      return <NewAgentPage />
    case 'environment':
      return <EnvironmentPage id={route.id} />
    case 'environments':
      return <EnvironmentsPage />
    case 'new-environment':
      return <NewEnvironmentPage />
    case 'batch':
      return <BatchPage id={route.id} />
    case 'batches':
      return <BatchesPage />
    case 'execution':
      return <ExecutionPage id={route.id} />
    case 'executions':
      return <ExecutionsPage />
    case 'operator':
      return <OperatorPage />
    case 'usage':
      return <UsagePage />
    case 'unknown':
      return (
        <EmptyState title="There is no such page">
          <TextLink to={{ page: 'new' }}>Start a conversation</TextLink>
        </EmptyState>
      )
  }
}
