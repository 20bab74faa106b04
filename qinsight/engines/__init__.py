"""Who answers: the published weights on this computer, or any server that speaks the chat API."""
