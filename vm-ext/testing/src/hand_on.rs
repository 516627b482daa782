//! What a stargate module does not take itself goes on to the one behind it.

/// Methods of `Stargate` that hand what comes on to `self.inner`, by name.
macro_rules! hand_on {
    (execute_stargate) => {
        fn execute_stargate<C, Q>(
            &self,
            api: &dyn ::cosmwasm_std::Api,
            storage: &mut dyn ::cosmwasm_std::Storage,
            router: &dyn ::cw_multi_test::CosmosRouter<ExecC = C, QueryC = Q>,
            block: &::cosmwasm_std::BlockInfo,
            sender: ::cosmwasm_std::Addr,
            type_url: String,
            value: ::cosmwasm_std::Binary,
        ) -> ::cosmwasm_std::StdResult<::cw_multi_test::AppResponse>
        where
            C: ::cosmwasm_std::CustomMsg + ::serde::de::DeserializeOwned + 'static,
            Q: ::cosmwasm_std::CustomQuery + ::serde::de::DeserializeOwned + 'static,
        {
            self.inner
                .execute_stargate(api, storage, router, block, sender, type_url, value)
        }
    };
    (query_stargate) => {
        fn query_stargate(
            &self,
            api: &dyn ::cosmwasm_std::Api,
            storage: &dyn ::cosmwasm_std::Storage,
            querier: &dyn ::cosmwasm_std::Querier,
            block: &::cosmwasm_std::BlockInfo,
            path: String,
            data: ::cosmwasm_std::Binary,
        ) -> ::cosmwasm_std::StdResult<::cosmwasm_std::Binary> {
            self.inner
                .query_stargate(api, storage, querier, block, path, data)
        }
    };
    (query_grpc) => {
        fn query_grpc(
            &self,
            api: &dyn ::cosmwasm_std::Api,
            storage: &dyn ::cosmwasm_std::Storage,
            querier: &dyn ::cosmwasm_std::Querier,
            block: &::cosmwasm_std::BlockInfo,
            request: ::cosmwasm_std::GrpcQuery,
        ) -> ::cosmwasm_std::StdResult<::cosmwasm_std::Binary> {
            self.inner.query_grpc(api, storage, querier, block, request)
        }
    };
}

pub(crate) use hand_on;
